// Values of a .env: escapes of double quotes (compose-go, dotenv/parser.go, expandEscapes) and `${NAME:-default}`
// (compose-go, template/template.go). Pure.

const PLAIN_ESCAPES: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  '"': '"',
};

/** Octal needs all three digits behind its 0, of at most a byte. `\$` stays a dollar: `$$` to what comes next. */
export function expandEscapes(text: string): string {
  return text.replaceAll(/\\([abcfnrtv$"\\]|0\d{0,3})/g, (match, code: string) => {
    if (code === '$') return '$$';
    const plain = PLAIN_ESCAPES[code];
    if (plain !== undefined) return plain;
    if (/^0[0-3][0-7]{2}$/.test(code)) return String.fromCharCode(Number.parseInt(code.slice(1), 8));
    return code.startsWith('0') ? `\\${code.slice(1)}` : match;
  });
}

type Lookup = (name: string) => string | undefined;
export type Substituted = { value: string } | { fault: string };

/** Default values may nest this deep. */
const DEEPEST = 20;

/** A name that is not set counts as empty; a "$" that begins nothing is one. Faults hold no value. */
export function substitute(text: string, lookup: Lookup, depth = 0): Substituted {
  if (depth > DEEPEST) return { fault: `has more than ${DEEPEST} \${…} inside of each other` };
  let value = '';
  for (let at = 0; at < text.length; ) {
    const dollar = text.indexOf('$', at);
    if (dollar < 0) return { value: value + text.slice(at) };
    value += text.slice(at, dollar);
    const plain = /^\$([a-z_][a-z0-9_]*)/i.exec(text.slice(dollar, dollar + 1024));
    if (text[dollar + 1] === '{') {
      const end = closingBrace(text, dollar);
      const found =
        end === undefined
          ? { fault: 'has a "${" that is never closed' }
          : braced(text.slice(dollar + 2, end), lookup, depth);
      if ('fault' in found) return found;
      value += found.value;
      at = (end ?? dollar) + 1;
    } else if (plain !== null) {
      value += lookup(plain[1] ?? '') ?? '';
      at = dollar + plain[0].length;
    } else {
      value += '$';
      at = dollar + (text[dollar + 1] === '$' ? 2 : 1);
    }
  }
  return { value };
}

function braced(inside: string, lookup: Lookup, depth: number): Substituted {
  const [, name, operator = '', word = ''] = /^([a-z_][a-z0-9_]*)(?:(:?[-?+])(.*))?$/is.exec(inside) ?? [];
  if (name === undefined)
    // biome-ignore lint/suspicious/noTemplateCurlyInString: compose's own words
    return { fault: "has a ${…} that is none of compose's: ${NAME}, ${NAME:-…}, ${NAME:?…}, ${NAME:+…}" };
  const found = lookup(name);
  const isSet = found !== undefined && (found !== '' || !operator.startsWith(':'));
  switch (operator.at(-1)) {
    case '-':
      return isSet ? { value: found } : substitute(word, lookup, depth + 1);
    case '+':
      return isSet ? substitute(word, lookup, depth + 1) : { value: '' };
    case '?':
      return isSet ? { value: found } : { fault: `needs ${name}, which is not set` };
    default:
      return { value: found ?? '' };
  }
}

/** Of the "${" at `start`; only further "${" open another one. */
function closingBrace(text: string, start: number): number | undefined {
  let open = 0;
  for (let at = start; at < text.length; at++) {
    if (text[at] === '}') {
      open -= 1;
      if (open === 0) return at;
    } else if (text.startsWith('${', at)) {
      open += 1;
      at += 1;
    }
  }
  return undefined;
}
