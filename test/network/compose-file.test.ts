import { describe, expect, it } from 'vitest';
import { parseComposeFile } from '../../src/network/compose-file.ts';

describe('compose files', () => {
  it('give their services in the order they are written, anchors and merge keys resolved', () => {
    const text = `
x-base: &base
  restart: unless-stopped
  network_mode: host
services:
  web:
    <<: *base
    image: nginx
  db:
    image: postgres:16
`;
    expect(parseComposeFile('c.yml', text)).toEqual({
      services: [
        { name: 'web', hostNetwork: true },
        { name: 'db', hostNetwork: false },
      ],
      includes: [],
    });
  });

  it('name what they include', () => {
    expect(parseComposeFile('c.yml', 'include: [a.yml, {path: [b.yml, c.yml]}]\n').includes).toEqual([
      'a.yml',
      'b.yml',
      'c.yml',
    ]);
  });

  it.each(['', '# nothing yet\n', 'services:\n'])('may be empty: %j', (text) => {
    expect(parseComposeFile('c.yml', text).services).toEqual([]);
  });

  it('are refused with path and line when they are no YAML', () => {
    expect(() => parseComposeFile('shop/compose.yml', 'services:\n  a: {image: x\n  b: 1\n')).toThrow(
      /^shop\/compose\.yml:\d+: /,
    );
  });

  it('are refused when an alias bomb hides in them', () => {
    const level = (name: string, of: string) => `${name}: &${name} [${Array(9).fill(`*${of}`).join(',')}]\n`;
    const bomb = `x0: &x0 [a]\n${level('x1', 'x0')}${level('x2', 'x1')}${level('x3', 'x2')}${level('x4', 'x3')}services: {}\n`;
    expect(() => parseComposeFile('c.yml', bomb)).toThrow();
  });
});
