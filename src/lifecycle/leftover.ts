// One thing that is left over: dead by proof and then removable, or only told. The planners beside this file judge.
import type { RepoName } from '../protocol/ids.ts';
import type { LeftoverKind } from '../protocol/leftovers.ts';
import type { Action } from './step.ts';

export interface Leftover {
  kind: LeftoverKind;
  /** As the machine calls it: "/dev/loop3", "rdh2880", a path. */
  what: string;
  repo?: RepoName;
  /** Whose lock keeps everybody else away from it: a repository's GUID, or the machine's. */
  subject: string;
  /** Each thing stands on those after it in the same group; absent: the subject's. */
  group?: string;
  because: string;
  /** Absent: it is not proven to be dead, and stays. In the order in which they are performed. */
  removal?: readonly Action[];
  /** Of what stays: what a person can do. */
  fix?: string;
}

export const MACHINE = 'machine';

/** The same thing in two looks. */
export function leftoverId({ kind, what }: Pick<Leftover, 'kind' | 'what'>): string {
  return `${kind} ${what}`;
}

export function describeLeftover({ kind, what, repo }: Pick<Leftover, 'kind' | 'what' | 'repo'>): string {
  return `${kind} ${what}${repo === undefined ? '' : ` of "${repo}"`}`;
}
