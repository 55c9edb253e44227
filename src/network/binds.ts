// Which paths of the machine a service brings into its container (compose-spec 05-services.md, volumes). A path that
// depends on an unknown variable is left out. Pure: no link is followed.
import { posix } from 'node:path';
import { interpolate } from './interpolate.ts';
import { child, textOf } from './tree-merge.ts';
import type { Tree } from './yaml-tree.ts';

export interface Bind {
  file: string;
  line: number;
  /** Absolute; "~" stands where the home directory of whoever calls compose is meant. */
  path: string;
  readOnly: boolean;
}

/** Where two entries have one target, the later file's counts (compose-go override/merge.go). */
export function bindsOf(service: Tree): Bind[] {
  const volumes = child(service, 'volumes');
  if (volumes?.kind !== 'list') return [];
  const byTarget = new Map<string, Bind | undefined>();
  for (const entry of volumes.items) {
    const { target, bind } = mountOf(entry);
    if (target !== undefined) byTarget.set(target, bind);
  }
  return [...byTarget.values()].filter((bind) => bind !== undefined);
}

/** A file of the machine that a top-level secret or config is made of, or a named volume that is a bind in disguise. */
export function disguisedBind(section: 'volumes' | 'secrets' | 'configs', entry: Tree): Bind | undefined {
  if (section !== 'volumes') return bindFrom(child(entry, 'file'), true);
  const options = child(entry, 'driver_opts');
  const isBind = (textOf(child(options, 'o')) ?? '').split(',').some((word) => word === 'bind' || word === 'rbind');
  return isBind ? bindFrom(child(options, 'device'), false) : undefined;
}

function mountOf(entry: Tree): { target?: string; bind?: Bind | undefined } {
  if (entry.kind === 'map') {
    const target = textOf(child(entry, 'target'));
    if (target === undefined) return {};
    const bind = textOf(child(entry, 'type')) === 'bind';
    return { target, bind: bind ? bindFrom(child(entry, 'source'), readOnly(entry)) : undefined };
  }
  const text = textOf(entry);
  const resolved = text === undefined ? undefined : interpolate(text, entry.origin.env);
  const [source = '', target, mode = ''] = resolved?.split(':') ?? [];
  if (target === undefined) return {};
  // Anything else is the name of a volume (compose-go format/volume.go).
  const bind = /^[./~]/.test(source) ? bindAt(source, entry, mode.split(',').includes('ro')) : undefined;
  return { target, bind };
}

function readOnly(entry: Tree): boolean {
  return textOf(child(entry, 'read_only')) === 'true';
}

function bindFrom(source: Tree | undefined, isReadOnly: boolean): Bind | undefined {
  const text = textOf(source);
  const path = text === undefined || source === undefined ? undefined : interpolate(text, source.origin.env);
  return path === undefined || path === '' || source === undefined ? undefined : bindAt(path, source, isReadOnly);
}

function bindAt(path: string, { origin, line }: Tree, isReadOnly: boolean): Bind {
  const absolute = path.startsWith('~') ? path : posix.resolve(origin.directory, path);
  return { file: origin.file, line, path: absolute, readOnly: isReadOnly };
}
