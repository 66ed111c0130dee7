const MAX_QUOTED = 40;

/**
 * Text from an input, safe to print: in double quotes, cut to 40 UTF-16 units, and all but printable ASCII escaped, so that it
 * can neither break a line nor steer a terminal.
 */
export function quote(text: string): string {
  const cut = text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}...` : text;
  return JSON.stringify(cut).replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** `path.key`, or `path["odd key"]` where the key is not a short plain word; `key` alone at the root. */
export function joinPath(path: string, key: string | number): string {
  if (typeof key === 'number') return `${path}[${key}]`;
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,39}$/.test(key)) return `${path}[${quote(key)}]`;
  return path === '' ? key : `${path}.${key}`;
}
