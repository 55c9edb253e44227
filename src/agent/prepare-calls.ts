// What each call of a pass finds: the environment of its directory and the settings of its .env. Read once per pass,
// since prep may write them.

import { readSettings } from '../lifecycle/env-settings.ts';
import { functionEnvironment } from '../lifecycle/function-call.ts';
import type { PassRequest } from '../lifecycle/passes.ts';
import type { Rediaccfile } from '../lifecycle/rediaccfile.ts';
import type { System } from '../lifecycle/system.ts';
import type { RepoTarget } from '../lifecycle/target.ts';
import { type ServicesFile, serviceEnvironment } from '../network/services.ts';
import { RdcError } from '../protocol/errors.ts';
import { prepareCompose } from './compose-call.ts';

export interface PreparedCalls extends Pick<PassRequest, 'rediaccfiles' | 'environmentOf' | 'settingsOf' | 'faultOf'> {
  /** Why a file cannot be called, by file. */
  faults: ReadonlyMap<Rediaccfile, string>;
}

/** `found`: faults that are known already. Throws nothing for what a .env holds: that is a fault of its file. */
export async function prepareCalls(
  system: System,
  target: RepoTarget,
  rediaccfiles: readonly Rediaccfile[],
  services: ServicesFile,
  found: ReadonlyMap<Rediaccfile, string> = new Map(),
): Promise<PreparedCalls> {
  const environment = functionEnvironment(target, serviceEnvironment(target.networkId, services));
  const composeOf = await prepareCompose(system, { target, rediaccfiles, services });
  const faults = new Map(found);
  const settings = new Map<Rediaccfile, ReadonlyMap<string, string>>();
  for (const file of rediaccfiles) {
    try {
      settings.set(file, await readSettings(system, target.paths.mountPoint, file, environment));
    } catch (error) {
      if (!(error instanceof RdcError) || error.code !== 'INVALID_INPUT') throw error;
      faults.set(file, [faults.get(file), error.message].filter((fault) => fault !== undefined).join('\n'));
    }
  }
  return {
    rediaccfiles,
    faults,
    environmentOf: (file) => ({ ...environment, ...composeOf(file) }),
    settingsOf: (file) => settings.get(file) ?? new Map(),
    faultOf: (file) => faults.get(file),
  };
}
