import { expect, it } from 'vitest';
import { parseTargets, sourcesFor } from '../../../src/cli/playground/apt-source.ts';

const listing = `http://mirror.example/debian/|bookworm|main|Debian
http://mirror.example/debian/|bookworm-updates|main|Debian
http://mirror.example/debian-security/|bookworm-security|main|Debian
http://mirror.example/debian/|bookworm-backports|main|Debian Backports
http://mirror.example/debian/|bookworm|contrib|Debian
https://other.example/node|nodistro|main|. nodistro
`;

it('takes the mirrors of this system for the suite of the guest', () => {
  const sources = sourcesFor('trixie', parseTargets(listing)).map((line) => line.replace(/\[.*\] /, ''));
  expect(sources).toEqual([
    'deb http://mirror.example/debian/ trixie main',
    'deb http://mirror.example/debian/ trixie-updates main',
    'deb http://mirror.example/debian-security/ trixie-security main',
  ]);
});

it('leaves the choice to mmdebstrap on a system without Debian sources', () => {
  const ubuntu = parseTargets('http://mirror.example/ubuntu/|noble|main|Ubuntu\n');
  expect(sourcesFor('trixie', ubuntu)).toEqual([]);
  expect(sourcesFor('trixie', [])).toEqual([]);
});
