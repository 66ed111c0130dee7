/** HTML as a value: what is put into a template is text, and is escaped, unless it is HTML already. */

export interface Html {
  readonly html: string;
}

export type Content = string | number | Html | undefined | readonly Content[];

/** `` html`<b>${text}</b>` ``: strings and numbers are escaped, arrays joined, undefined leaves nothing. */
export function html(strings: TemplateStringsArray, ...values: readonly Content[]): Html {
  return { html: strings.map((text, index) => text + (index < values.length ? markupOf(values[index]) : '')).join('') };
}

/** Markup of our own making, as it is. */
export const raw = (markup: string): Html => ({ html: markup });

/** For element content, and for attributes in quotes. */
export const escapeHtml = (text: string): string => withoutControls(text).replace(/[&<>"']/g, (character) => entities.get(character) ?? character);

/** Control characters, which HTML cannot hold, become U+FFFD. */
export const withoutControls = (text: string): string => text.replace(/(?![\t\n])\p{Cc}/gu, '\ufffd');

const entities: ReadonlyMap<string, string> = new Map([
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&quot;'],
  ["'", '&#39;'],
]);

function markupOf(content: Content): string {
  if (content === undefined) return '';
  if (typeof content === 'string') return escapeHtml(content);
  if (typeof content === 'number') return String(content);
  return 'html' in content ? content.html : content.map(markupOf).join('');
}

export interface TableParts {
  readonly caption: string;
  /** Rows of `th`; one row of labels, or markup of several. */
  readonly head: readonly Content[] | Html;
  /** The first cell of a row is its header. */
  readonly rows: readonly (readonly Content[])[];
  /** The row that is marked. */
  readonly marked?: number;
  /** Rows below a line: totals, what the others are compared with. */
  readonly foot?: readonly (readonly Content[])[];
}

/** A table that scrolls by itself where it is wider than the page. */
export function table({ caption, head, rows, marked, foot = [] }: TableParts): Html {
  const row = ([first, ...cells]: readonly Content[], mark: boolean): Html =>
    html`<tr${mark ? raw(' class="marked"') : undefined}><th scope="row">${first}</th>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>\n`;
  const heading = 'html' in head ? head : html`<tr>${head.map((label) => html`<th scope="col">${label}</th>`)}</tr>`;
  return html`<div class="scroll" role="region" tabindex="0" aria-label="${caption}"><table>
<caption>${caption}</caption>
<thead>${heading}</thead>
<tbody>
${rows.map((cells, index) => row(cells, index === marked))}</tbody>
${foot.length === 0 ? undefined : html`<tfoot>${foot.map((cells) => row(cells, false))}</tfoot>`}</table></div>`;
}

/** Numbers behind a figure, folded away. */
export const details = (summary: string, content: Content): Html => html`<details><summary>${summary}</summary>${content}</details>`;
