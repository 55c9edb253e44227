// The version that the build writes into the bundle.
declare const __RDC_VERSION__: string;

export const agentVersion: string = __RDC_VERSION__;
