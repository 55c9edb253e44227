// What the images are made of, as data: the recipe is its text, so nothing that decides content may live elsewhere.
// The programs are Debian's; the layout, users and entrypoints follow the official images of the same names.
import gosu from './gosu.sh';
import nodeEntrypoint from './node-entrypoint.sh';
import postgresEntrypoint from './postgres-entrypoint.sh';
import redisEntrypoint from './redis-entrypoint.sh';

export const SUITE = 'trixie';

/** Unpacked, never configured: no maintainer script runs, so the tree is the same on every machine. */
export const PACKAGES: readonly string[] = [
  ...['base-files', 'bash', 'busybox-static', 'ca-certificates', 'libc-bin', 'tzdata', 'util-linux'],
  ...['postgresql-17', 'postgresql-client-17', 'redis-server', 'redis-tools', 'nodejs'],
];

export const PROGRAMS = {
  postgres: '/usr/lib/postgresql/17/bin/postgres',
  redis: '/usr/bin/redis-server',
  node: '/usr/bin/node',
} as const;

/** A file that no package holds: given text, a packaged file with one change, or the files of a directory joined. */
export type FileSource =
  | { kind: 'text'; text: string }
  | { kind: 'edited'; from: string; to: string }
  | { kind: 'joined'; directory: string }
  | { kind: 'link'; target: string }
  | { kind: 'directory' };

export type MadeFile = FileSource & { path: string; mode?: number; owner?: number };

export interface User {
  name: string;
  id: number;
  home: string;
  shell: string;
}

export interface LayerDefinition {
  name: string;
  /** The layer below. A layer holds only what the ones below it do not. */
  parent?: string;
  /** Files and whole directories of the packages; the libraries that their programs load come with them. */
  take?: readonly string[];
  /** Left out of the directories in `take`. */
  leave?: readonly string[];
  /** The libraries that all of these programs load, so that images share them. */
  sharedBy?: readonly string[];
  /** Links to busybox for each of its applets. */
  applets?: boolean;
  users?: readonly User[];
  made?: readonly MadeFile[];
}

const script = (path: string, text: string): MadeFile => ({ kind: 'text', path, text, mode: 0o755 });
const link = (path: string, target: string): MadeFile => ({ kind: 'link', path, target });
const directory = (path: string, mode = 0o755, owner = 0): MadeFile => ({ kind: 'directory', path, mode, owner });

const ENTRYPOINT = '/usr/local/bin/docker-entrypoint.sh';
const POSTGRES_SHARE = '/usr/share/postgresql/17';

/** Parts of Node itself that Debian keeps as files of their own and Node reads when it starts. */
const NODE_BUILTINS: readonly string[] = [
  ...['acorn/dist/acorn.js', 'acorn-walk/dist/walk.js', 'cjs-module-lexer/lexer.js', 'cjs-module-lexer/dist/lexer.js'],
  ...['minimatch/dist/cjs/index.bundle.js', 'undici/undici-fetch.js'],
];

export const LAYERS: readonly LayerDefinition[] = [
  {
    name: 'busybox',
    take: ['/usr/bin/busybox'],
    applets: true,
    users: [],
    made: [
      ...[link('/bin', 'usr/bin'), link('/sbin', 'usr/bin'), link('/usr/sbin', 'bin')],
      ...[link('/lib', 'usr/lib'), link('/lib64', 'usr/lib64')],
      ...['/dev', '/proc', '/sys', '/run', '/home', '/usr/lib', '/usr/lib64', '/usr/local/bin'].map((path) =>
        directory(path),
      ),
      ...[directory('/root', 0o700), directory('/tmp', 0o1777), directory('/var/tmp', 0o1777)],
      link('/var/run', '/run'),
      { kind: 'text', path: '/etc/nsswitch.conf', text: 'hosts: files dns\n' },
    ],
  },
  {
    name: 'runtime',
    parent: 'busybox',
    take: [
      ...['/usr/bin/bash', '/usr/bin/setpriv', '/usr/lib/os-release', '/etc/os-release', '/etc/debian_version'],
      ...['/usr/lib/locale/C.utf8', '/etc/ssl/openssl.cnf', '/usr/lib/ssl'],
    ],
    sharedBy: [PROGRAMS.postgres, PROGRAMS.redis],
    made: [
      { kind: 'joined', path: '/etc/ssl/certs/ca-certificates.crt', directory: '/usr/share/ca-certificates/mozilla' },
      script('/usr/local/bin/gosu', gosu),
      link('/usr/local/bin/su-exec', 'gosu'),
    ],
  },
  { name: 'unicode', parent: 'runtime', sharedBy: [PROGRAMS.postgres, PROGRAMS.node] },
  {
    name: 'postgres',
    parent: 'unicode',
    take: ['/usr/lib/postgresql/17', POSTGRES_SHARE, '/usr/share/zoneinfo', '/usr/bin/locale'],
    // Compiling queries would need LLVM, twice the size of everything else; postgres does without when it is absent.
    leave: [
      ...['/usr/lib/postgresql/17/lib/bitcode', '/usr/lib/postgresql/17/lib/pgxs', `${POSTGRES_SHARE}/man`],
      ...['/usr/lib/postgresql/17/lib/llvmjit.so', '/usr/lib/postgresql/17/lib/llvmjit_types.bc'],
    ],
    users: [{ name: 'postgres', id: 999, home: '/var/lib/postgresql', shell: '/bin/bash' }],
    made: [
      script(ENTRYPOINT, postgresEntrypoint),
      directory('/docker-entrypoint-initdb.d'),
      directory('/run/postgresql', 0o3777, 999),
      directory('/var/lib/postgresql', 0o1777, 999),
      directory('/var/lib/postgresql/data', 0o1777, 999),
      {
        kind: 'edited',
        path: `${POSTGRES_SHARE}/postgresql.conf.sample`,
        from: "#listen_addresses = 'localhost'",
        to: "listen_addresses = '*'",
      },
    ],
  },
  {
    name: 'redis',
    parent: 'runtime',
    take: [PROGRAMS.redis, '/usr/bin/redis-cli', '/usr/bin/redis-check-aof', '/usr/bin/redis-benchmark'],
    users: [{ name: 'redis', id: 999, home: '/data', shell: '/bin/sh' }],
    made: [script(ENTRYPOINT, redisEntrypoint), directory('/data', 0o755, 999)],
  },
  {
    name: 'node',
    parent: 'unicode',
    take: [PROGRAMS.node, '/usr/bin/nodejs', ...NODE_BUILTINS.map((path) => `/usr/share/nodejs/${path}`)],
    users: [{ name: 'node', id: 1000, home: '/home/node', shell: '/bin/sh' }],
    made: [script(ENTRYPOINT, nodeEntrypoint), directory('/home/node', 0o755, 1000)],
  },
];

/** The example's API, from the files that its Dockerfile copies. */
export function apiLayer(files: ReadonlyMap<string, string>): LayerDefinition {
  const made = [...files].map(([name, text]): MadeFile => ({ kind: 'text', path: `/app/${name}`, text }));
  return { name: 'api', parent: 'node', made: [directory('/app'), ...made] };
}
