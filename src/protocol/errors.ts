// Every failure that a person or a script can meet has a code here, and every code has one exit code.
// Messages: lower case, quoted names, verb and noun; the hint is a command to paste wherever one exists.

/** Error code to process exit code (SPEC section 2; printed in docs/reference.md). */
export const EXIT_CODES = {
  FAILED: 1,
  COMMAND_FAILED: 1,
  STEP_NOT_VERIFIED: 1,
  FUNCTION_FAILED: 1,
  TIMED_OUT: 1,
  CANCELLED: 1,
  RUN_INTERRUPTED: 1,
  INTERNAL: 1,
  VOLUME_DAMAGED: 1,
  VOLUME_IN_USE: 1,
  HOST_NOT_SUITABLE: 1,
  USAGE: 2,
  CONFIG_INVALID: 2,
  INVALID_INPUT: 2,
  ALREADY_EXISTS: 2,
  CONFIRMATION_NEEDED: 2,
  CREDENTIAL_MISSING: 2,
  NOT_SET_UP: 2,
  TOOL_MISSING: 2,
  AGENT_MISMATCH: 2,
  PARTIAL: 3,
  SSH_LOGIN: 4,
  HOST_KEY: 4,
  SUDO: 4,
  UNREACHABLE: 5,
  CONNECTION_LOST: 5,
  NOT_FOUND: 10,
  BUSY: 11,
  WRONG_CREDENTIAL: 12,
  NO_SPACE: 13,
  INTERRUPTED: 130,
} as const;

export type ErrorCode = keyof typeof EXIT_CODES;

/** How an error crosses the wire and appears under --json. */
export interface WireError {
  code: ErrorCode;
  message: string;
  hint?: string;
  /** The underlying failure, shown with -v only. */
  detail?: string;
}

export interface RdcErrorOptions {
  hint?: string | undefined;
  cause?: unknown;
}

export class RdcError extends Error {
  override readonly name = 'RdcError';
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: RdcErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
  }

  get exitCode(): number {
    return EXIT_CODES[this.code];
  }
}

export function isCode(error: unknown, ...codes: ErrorCode[]): error is RdcError {
  return error instanceof RdcError && codes.includes(error.code);
}

/** What anything thrown has to say, for a sentence of ours. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Turns anything thrown into the wire form; what is not an RdcError is our own fault: INTERNAL. */
export function toWireError(error: unknown): WireError {
  if (error instanceof RdcError) {
    const detail = describeCause(error.cause);
    return {
      code: error.code,
      message: error.message,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      ...(detail === undefined ? {} : { detail }),
    };
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { code: 'INTERNAL', message: `internal error: ${messageOf(error)}`, detail: stack };
}

export function fromWireError(wire: WireError): RdcError {
  return new RdcError(isErrorCode(wire.code) ? wire.code : 'FAILED', wire.message, {
    hint: wire.hint,
    cause: wire.detail,
  });
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(EXIT_CODES, code);
}

function describeCause(cause: unknown): string | undefined {
  if (cause === undefined || cause === null) return undefined;
  if (cause instanceof Error) {
    const inner = describeCause(cause.cause);
    return inner === undefined ? cause.message : `${cause.message}: ${inner}`;
  }
  return String(cause);
}
