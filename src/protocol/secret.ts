// A value that must not be shown. It prints itself as [secret] everywhere a value can leak by accident:
// string conversion, JSON, util.inspect. `reveal()` is called only where a secret must leave the program
// (the request on the wire, a command's stdin, the credentials file); a test greps for it.
import { inspect } from 'node:util';
import * as z from 'zod';

const MASK = '[secret]';

export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The value itself. Every caller is listed in test/protocol/secret.test.ts. */
  reveal(): string {
    return this.#value;
  }

  /** Bytes in UTF-8, as it goes onto a pipe. */
  get byteLength(): number {
    return Buffer.byteLength(this.#value);
  }

  /** Both values one after the other, for a program that reads two keys from one pipe by their lengths. */
  concat(other: Secret): Secret {
    return new Secret(this.#value + other.#value);
  }

  equals(other: Secret): boolean {
    return this.#value === other.#value;
  }

  toString(): string {
    return MASK;
  }

  toJSON(): string {
    return MASK;
  }

  [inspect.custom](): string {
    return MASK;
  }
}

/** What a person typed or a command printed. Up to 8 KiB (cryptsetup's limit for a passphrase is 512 characters when interactive, 8 MiB as key file). */
export const secretTextSchema = z
  .string()
  .min(1, 'the credential is empty')
  .max(8192, 'the credential is longer than 8192 characters')
  .refine((text) => !/[\n\r\0]/.test(text), 'the credential contains a line break or a NUL')
  .transform((text) => new Secret(text));

/** Accepts the wire's string and makes a Secret of it; an existing Secret passes through. */
export const secretSchema = z.union([z.instanceof(Secret), secretTextSchema]);

/** A deep copy in which every Secret is its plain value: what goes onto the wire, and nowhere else. */
export function revealForWire(value: unknown): unknown {
  if (value instanceof Secret) return value.reveal();
  if (Array.isArray(value)) return value.map(revealForWire);
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, revealForWire(inner)]));
  }
  return value;
}
