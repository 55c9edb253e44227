// The images that the playground's registry mirror serves: names and tags as compose files use them, and how each runs.
import { PROGRAMS } from './definitions.ts';

/** The part of a container's configuration that an image sets (OCI image-spec, config.md; Docker's own key names). */
export interface ContainerConfig {
  Env?: readonly string[];
  Entrypoint?: readonly string[];
  Cmd: readonly string[];
  ExposedPorts?: Readonly<Record<string, object>>;
  Volumes?: Readonly<Record<string, object>>;
  WorkingDir?: string;
  StopSignal?: string;
  User?: string;
}

export interface ImageDefinition {
  repository: string;
  tags: readonly string[];
  /** The topmost layer; those below follow from it. */
  layer: string;
  config: ContainerConfig;
  /** An environment variable that tells the version of the program inside, as the official image has it. */
  version?: { variable: string; program: string };
}

const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const ENTRYPOINT = ['docker-entrypoint.sh'];

/** Common tags of the official images: the program is Debian's whatever number the tag says. */
export const IMAGES: readonly ImageDefinition[] = [
  {
    repository: 'library/busybox',
    tags: ['latest', '1', '1.36', '1.37', 'stable'],
    layer: 'busybox',
    config: { Env: [PATH], Cmd: ['sh'] },
  },
  {
    repository: 'library/alpine',
    tags: ['latest', '3'],
    layer: 'busybox',
    config: { Env: [PATH], Cmd: ['/bin/sh'], WorkingDir: '/' },
  },
  {
    repository: 'library/postgres',
    tags: ['16', '17', 'latest', '16-alpine', '17-alpine', 'alpine'],
    layer: 'postgres',
    config: {
      Env: [`${PATH}:/usr/lib/postgresql/17/bin`, 'LANG=C.UTF-8', 'PG_MAJOR=17', 'PGDATA=/var/lib/postgresql/data'],
      Entrypoint: ENTRYPOINT,
      Cmd: ['postgres'],
      ExposedPorts: { '5432/tcp': {} },
      Volumes: { '/var/lib/postgresql/data': {} },
      // Fast shutdown: the default SIGTERM would wait for every client to leave.
      StopSignal: 'SIGINT',
    },
    version: { variable: 'PG_VERSION', program: PROGRAMS.postgres },
  },
  {
    repository: 'library/redis',
    tags: ['7-alpine', '7', '8-alpine', '8', 'alpine', 'latest'],
    layer: 'redis',
    config: {
      Env: [PATH],
      Entrypoint: ENTRYPOINT,
      Cmd: ['redis-server'],
      ExposedPorts: { '6379/tcp': {} },
      Volumes: { '/data': {} },
      WorkingDir: '/data',
    },
    version: { variable: 'REDIS_VERSION', program: PROGRAMS.redis },
  },
  {
    repository: 'library/node',
    tags: ['22-alpine', '22', '20-alpine', '20', 'lts-alpine', 'lts', 'alpine', 'latest'],
    layer: 'node',
    config: { Env: [PATH], Entrypoint: ENTRYPOINT, Cmd: ['node'] },
    version: { variable: 'NODE_VERSION', program: PROGRAMS.node },
  },
  {
    repository: 'myregistry/api',
    tags: ['latest'],
    layer: 'api',
    config: {
      Env: [PATH],
      Entrypoint: ENTRYPOINT,
      Cmd: ['node', 'server.js'],
      ExposedPorts: { '8080/tcp': {} },
      WorkingDir: '/app',
      User: 'node',
    },
    version: { variable: 'NODE_VERSION', program: PROGRAMS.node },
  },
];
