// `${VARIABLE}` in compose values (compose-go template/template.go), as far as it can be told without running anything:
// a variable that nobody has set here may still be exported by the Rediaccfile, so its value is unknown, not empty.

const BRACED = /^\{([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-+?])(.*))?\}$/s;

/** undefined: cannot be told. `$$` is a dollar sign. */
export function interpolate(text: string, env: Readonly<Record<string, string>>): string | undefined {
  let unknown = false;
  const result = text.replace(/\$(\$|[A-Za-z_][A-Za-z0-9_]*|\{[^{}$]*\})/g, (_, part: string) => {
    if (part === '$') return '\u0000';
    const value = variableValue(part, env);
    unknown ||= value === undefined;
    return value ?? '';
  });
  // What is left is a nested or a broken expression.
  return unknown || result.includes('$') ? undefined : result.replaceAll('\u0000', '$');
}

function variableValue(part: string, env: Readonly<Record<string, string>>): string | undefined {
  const [, braced, operator, word = ''] = BRACED.exec(part) ?? [];
  const name = part.startsWith('{') ? braced : part;
  if (name === undefined) return undefined;
  const value = Object.hasOwn(env, name) ? env[name] : undefined;
  const isSet = value !== undefined && !(operator?.startsWith(':') === true && value === '');
  // The default is what compose takes unless the Rediaccfile exports the variable.
  if (operator?.endsWith('-')) return isSet ? value : word;
  if (operator?.endsWith('+')) return isSet ? word : undefined;
  return value;
}

/** The plain lines of a .env file: NAME=value, quoted or not, without `${…}`. Others are left out: their value is unknown. */
export function plainVariables(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const line of text.replace(/^\uFEFF/, '').split(/\r?\n/)) {
    const [, name, raw = ''] = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (name === undefined) continue;
    const value = /^'([^']*)'$/.exec(raw)?.[1] ?? /^"([^"\\$]*)"$/.exec(raw)?.[1] ?? /^[^'"$\\#]*$/.exec(raw)?.[0];
    if (value === undefined) delete found[name];
    else found[name] = value;
  }
  return found;
}
