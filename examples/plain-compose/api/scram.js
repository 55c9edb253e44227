// The login with SCRAM-SHA-256: both sides prove that they know the password, and neither sends it (RFC 5802, RFC 7677).
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';

/** Without channel binding. The user name was in PostgreSQL's startup message, so it stays empty here. */
export function createScram(password, nonce = randomBytes(18).toString('base64')) {
  const first = `n=,r=${nonce}`;
  let serverSignature;
  return {
    first: `n,,${first}`,
    answer(challenge) {
      const { r, s, i } = Object.fromEntries(challenge.split(',').map((part) => [part[0], part.slice(2)]));
      if (!r.startsWith(nonce)) throw new Error('postgres answered another login');
      const salted = pbkdf2Sync(password.normalize('NFKC'), Buffer.from(s, 'base64'), Number(i), 32, 'sha256');
      const clientKey = hmac(salted, 'Client Key');
      const storedKey = createHash('sha256').update(clientKey).digest();
      const final = `c=biws,r=${r}`;
      const all = `${first},${challenge},${final}`;
      serverSignature = hmac(hmac(salted, 'Server Key'), all).toString('base64');
      const signature = hmac(storedKey, all);
      const proof = Buffer.from(clientKey.map((byte, index) => byte ^ signature[index]));
      return `${final},p=${proof.toString('base64')}`;
    },
    verify(final) {
      if (final !== `v=${serverSignature}`) throw new Error('this is not the server that knows the password');
    },
  };
}

function hmac(key, text) {
  return createHmac('sha256', key).update(text).digest();
}
