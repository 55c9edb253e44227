// What is known of the end of a function: the words of its wrapper and of systemd-run on stderr, taken out of the
// output. Elapsed time proves nothing: that a limit ended it is systemd's to say (`Finished with result: timeout`).
import { constants } from 'node:os';
import type { Line } from './line-splitter.ts';

export interface FunctionReport {
  /** "none": the file ended the shell, or never was read, before it came to the function. */
  reached: 'none' | 'undefined' | 'called';
  /** The wrapper lived to see the function's end. */
  ended: boolean;
  /** "redis-server (12345)" */
  left: string[];
  /** "success", "exit-code", "signal", "timeout", "oom-kill", … (systemd.exec(5), $SERVICE_RESULT). */
  result: string | undefined;
  /** Of the wrapper, where a signal ended it: "KILL". */
  signal: string | undefined;
}

export interface ReportReader {
  report: FunctionReport;
  take(line: Line): void;
  /** Gives out what only looked like words of systemd-run. */
  end(): void;
}

const RESULT = /^(.*?)Finished with result: ([a-z-]+)$/;
const AFTER_RESULT = /^(?:Main processes terminated|Service runtime|CPU time consumed|Memory|IP traffic|IO [Bb]ytes)\b/;
const SIGNAL = /code=(?:killed|dumped)[/,] ?(?:status=)?(?:\d+\/)?(?:SIG)?([A-Z0-9]+)/;

/** `mark` begins the wrapper's words; `unit` is the name that systemd-run gives at the start. */
export function createReportReader(mark: string, unit: string, onLine: (line: Line) => void): ReportReader {
  const report: FunctionReport = {
    reached: 'none',
    ended: false,
    left: [],
    result: undefined,
    signal: undefined,
  };
  // The last words of systemd-run, as long as nothing else comes behind them.
  let last: Line[] = [];
  const release = () => {
    for (const line of last) onLine(line);
    last = [];
  };
  const take = (line: Line) => {
    const at = line.text.indexOf(mark);
    const started = at >= 0 ? at : line.text.indexOf(`Running as unit: ${unit}`);
    if (line.stream === 'stdout') onLine(line);
    else if (started >= 0) {
      if (at >= 0) hear(report, line.text.slice(at + mark.length + 1));
      if (started > 0) onLine({ stream: line.stream, text: line.text.slice(0, started) });
    } else if (RESULT.test(line.text)) {
      release();
      last = [line];
    } else if (last.length > 0 && AFTER_RESULT.test(line.text)) last.push(line);
    else {
      release();
      onLine(line);
    }
  };
  const end = () => {
    const [first, ...others] = last;
    last = [];
    if (first === undefined) return;
    const [, before = '', result] = RESULT.exec(first.text) ?? [];
    if (before !== '') onLine({ stream: 'stderr', text: before });
    report.result = result;
    report.signal = others.map(({ text }) => SIGNAL.exec(text)?.[1]).find((name) => name !== undefined);
  };
  return { report, take, end };
}

function hear(report: FunctionReport, words: string): void {
  const [word, pid, ...name] = words.split(' ');
  if (word === 'called' || word === 'undefined') report.reached = word;
  if (word === 'ended') report.ended = true;
  if (word === 'left') report.left.push(`${name.join(' ')} (${pid})`);
}

/**
 * Why the call failed, for people; undefined: it did not. `exitCode` is systemd-run's own: the function's where
 * systemd calls the result a success or "exit-code" (systemd-run(1)).
 */
export function failureOf(
  report: FunctionReport,
  call: { exitCode: number; name: string; timeoutMs: number | undefined },
): string | undefined {
  const { exitCode, name, timeoutMs } = call;
  const before = report.reached === 'called' ? '' : ` before ${name}() was called`;
  if (report.result === 'timeout') {
    return timeoutMs === undefined ? 'it was stopped: it took too long' : `it ran longer than ${timeoutMs / 1000}s`;
  }
  if (report.result === 'oom-kill')
    return `it was killed: its memory limit or the machine's memory was used up${before}`;
  // Also where systemd takes it for a clean end, as with SIGTERM.
  if (!report.ended && report.signal !== undefined)
    return `it was killed by ${signalText(report.signal) ?? `signal ${report.signal}`}${before}`;
  if (exitCode === 0 && report.ended) return undefined;
  // A shell counts the death of a command as 128 + n (bash(1), EXIT STATUS), and so does whoever started that shell.
  const killer = exitCode > 128 ? signalText(exitCode - 128) : undefined;
  const ended = killer === undefined ? '' : `: it or its last command was killed by ${killer}`;
  if (report.ended) return `exit code ${exitCode}${before}${ended}`;
  const result = report.result === undefined ? '' : `, result ${report.result}`;
  return `its unit did not run to its end (systemd-run: exit code ${exitCode}${result})`;
}

/** "SIGKILL (signal 9)"; undefined: there is no such signal. */
function signalText(signal: string | number): string | undefined {
  const signals = Object.entries(constants.signals);
  const [name, number] = signals.find(([key, value]) => key === `SIG${signal}` || value === signal) ?? [];
  return name === undefined ? undefined : `${name} (signal ${number})`;
}
