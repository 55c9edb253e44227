// What the metadata of a LUKS2 header say, as luksMetadata prints them (LUKS2 On-Disk Format Specification, "JSON area").

const LUKS2_BINARY_HEADER_BYTES = 4096;

/** Whether the slot's key derivation takes memory on purpose (argon2). `metadata` is what luksMetadata prints. */
export function isMemoryHard(metadata: string, slot: number): boolean {
  const { keyslots = {} } = JSON.parse(metadata) as { keyslots?: Record<string, { kdf?: { type?: string } }> };
  return keyslots[slot]?.kdf?.type?.startsWith('argon2') ?? false;
}

/** Bytes before the encrypted data; `metadata` is what luksMetadata prints. */
export function headerBytes(metadata: string): number {
  const { segments } = JSON.parse(metadata) as { segments: Record<string, { offset: string }> };
  return Number(segments['0']?.offset);
}

/**
 * Bytes of both binary headers with their JSON areas, and of the key slots: all of a header, and the length of a backup of it
 * (LUKS2 On-Disk Format Specification, "config"). `metadata` is what luksMetadata prints.
 */
export function headerAndAreasBytes(metadata: string): number {
  const { config } = JSON.parse(metadata) as { config: { json_size: string; keyslots_size: string } };
  return 2 * (LUKS2_BINARY_HEADER_BYTES + Number(config.json_size)) + Number(config.keyslots_size);
}

/** By which a key of the data is known: the same for two headers only if they hold the same volume key (there, "digests"). */
export function dataDigest(metadata: string): string {
  const { digests = {} } = JSON.parse(metadata) as {
    digests?: Record<string, { segments: string[]; salt: string; digest: string }>;
  };
  const ofData = Object.values(digests).filter(({ segments }) => segments.length > 0);
  return ofData.map(({ salt, digest }) => `${salt} ${digest}`).join('\n');
}
