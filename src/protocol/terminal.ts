// The terminal of a person, as a program on the server needs to know it. Its size changes while the program runs: then it
// comes as an aside in the client's stream (stream-frames.ts), one JSON text to a line.
import * as z from 'zod';

/** A terminal that does not tell its size has 0. */
const cells = z.number().int().min(0).max(65_535);

export const terminalSizeSchema = z.object({ columns: cells, rows: cells });
export type TerminalSize = z.infer<typeof terminalSizeSchema>;

export const terminalSchema = z.object({
  ...terminalSizeSchema.shape,
  /** TERM, a name of terminfo(5). */
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/),
});
export type Terminal = z.infer<typeof terminalSchema>;

export function sizeLine({ columns, rows }: TerminalSize): Buffer {
  return Buffer.from(`${JSON.stringify({ columns, rows })}\n`);
}

/** Gives the last size each time that lines have come; what is no size is passed over. */
export function sizeReader(onSize: (size: TerminalSize) => void): (chunk: Buffer) => void {
  let text = '';
  return (chunk) => {
    const lines = (text + chunk.toString('latin1')).split('\n');
    // No line of ours is that long.
    text = (lines.pop() ?? '').slice(-200);
    const size = lines.map(parseSize).findLast((one) => one !== undefined);
    if (size !== undefined) onSize(size);
  };
}

function parseSize(line: string): TerminalSize | undefined {
  try {
    return terminalSizeSchema.safeParse(JSON.parse(line)).data;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
