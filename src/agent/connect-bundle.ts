// The text of connect.mjs, which the build makes from connect-program.ts and writes into the bundle.
declare const __CONNECT_PROGRAM__: string;

export const connectProgram: string = __CONNECT_PROGRAM__;
