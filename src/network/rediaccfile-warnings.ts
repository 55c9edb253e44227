// Lines of a Rediaccfile that bash accepts and that do something else than meant. Read word by word: this is no bash
// parser, and says nothing rather than something wrong. Pure.
import type { Finding } from './finding.ts';

/** sudo(8): options whose value is the next word. */
const WITH_VALUE =
  /^(-[A-Za-z]*[ugpCrtThRDU]|--(user|group|prompt|close-from|role|type|host|chroot|chdir|other-user))$/;
/** -E may stand among other letters: -nE. */
const KEEPS_ENVIRONMENT = /^(-[A-Za-z]*E[A-Za-z]*|--preserve-env|--preserve-env=.*DOCKER_HOST.*|DOCKER_HOST=.+)$/;

/** `file` as findings name it. */
export function checkRediaccfileText(file: string, text: string): Finding[] {
  const message =
    '"sudo docker" loses DOCKER_HOST and looks for a docker of the host, which is not there: leave sudo away, or use sudo -E';
  return logicalLines(text)
    .filter(({ code }) => code.includes('sudo') && code.includes('docker') && losesEnvironment(code))
    .map(({ line }): Finding => ({ file, line, rule: 'sudo-docker', severity: 'warning', message }));
}

function losesEnvironment(code: string): boolean {
  const words = code.replaceAll(/[;&|(){}`]+/g, (mark) => ` ${mark} `).split(/\s+/);
  return words.some((word, index) => word === 'sudo' && isDocker(words, index + 1));
}

/** The words after "sudo" lead to docker, and none of them keeps the environment. */
function isDocker(words: readonly string[], start: number): boolean {
  for (let at = start; at < words.length; at += 1) {
    const word = words[at] ?? '';
    if (KEEPS_ENVIRONMENT.test(word)) return false;
    if (WITH_VALUE.test(word)) at += 1;
    else if (!word.startsWith('-') && !/^[A-Za-z_]\w*=/.test(word)) return /^(.*\/)?docker(-compose)?$/.test(word);
  }
  return false;
}

/** Lines that a backslash joins are one, with the number of the first; comments are gone. */
function logicalLines(text: string): { line: number; code: string }[] {
  const lines: { line: number; code: string }[] = [];
  let open: { line: number; parts: string[] } | undefined;
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    open ??= { line: index + 1, parts: [] };
    const code = raw.replace(/(^|\s)#.*$/, '$1');
    const continued = code.endsWith('\\');
    open.parts.push(continued ? code.slice(0, -1) : code);
    if (continued) continue;
    lines.push({ line: open.line, code: open.parts.join(' ') });
    open = undefined;
  }
  if (open !== undefined) lines.push({ line: open.line, code: open.parts.join(' ') });
  return lines;
}
