/** Line charts as SVG text, without dependencies: equal figures give equal bytes, so a committed one changes only with its numbers. */
import { positionOf, ticksOf, type Scale } from './ticks.ts';

export interface LineStyle {
  /** `#rrggbb`. */
  readonly colour: string;
  /** Solid by default. */
  readonly dash?: 'dashed' | 'dotted';
  /** None by default. */
  readonly marker?: 'circle' | 'square' | 'diamond';
}

export interface Line extends LineStyle {
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Axis {
  readonly label: string;
  readonly scale: Scale;
  /** The text of a tick; its number by default. */
  readonly format?: (value: number) => string;
}

/** A horizontal line that is not data: a limit. */
export interface Limit extends LineStyle {
  readonly y: number;
}

export interface Panel {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly lines: readonly Line[];
  readonly limit?: Limit;
}

export interface LegendEntry extends LineStyle {
  readonly label: string;
}

export interface Figure {
  readonly title: string;
  /** Lines of text below the title. */
  readonly notes: readonly string[];
  /** Side by side. */
  readonly panels: readonly Panel[];
  readonly legend: readonly LegendEntry[];
}

const plot = { width: 400, height: 300, left: 62, right: 18, top: 34, bottom: 52 };
const panelWidth = plot.left + plot.width + plot.right;
const panelHeight = plot.top + plot.height + plot.bottom;
const legendRow = 20;
const ink = '#222222';
const faint = '#e2e2e2';

export function renderSvg({ title, notes, panels, legend }: Figure): string {
  const width = Math.max(1, panels.length) * panelWidth;
  const header = 34 + notes.length * 17;
  const columns = Math.max(1, Math.floor((width - 40) / 300));
  const rows = Math.ceil(legend.length / columns);
  const height = header + panelHeight + 8 + rows * legendRow + 10;
  const body = [
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    text(16, 24, title, { size: 16, bold: true }),
    ...notes.map((note, line) => text(16, 44 + line * 17, note, {})),
    ...panels.flatMap((panel, at) => renderPanel(panel, at * panelWidth + plot.left, header + plot.top)),
    ...legend.flatMap((entry, at) => renderLegend(entry, 24 + (at % columns) * 300, header + panelHeight + 18 + Math.floor(at / columns) * legendRow)),
  ];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="Helvetica, Arial, sans-serif" font-size="12" fill="${ink}">`,
    `<title>${escapeXml(title)}</title>`,
    ...body,
    '</svg>',
    '',
  ].join('\n');
}

/** `(left, top)` is the corner of the plotting area. */
function renderPanel({ title, x, y, lines, limit }: Panel, left: number, top: number): string[] {
  const points = lines.flatMap((line) => line.points);
  const xTicks = ticksOf(x.scale, points.map(([value]) => value));
  const yTicks = ticksOf(y.scale, [...points.map(([, value]) => value), ...(limit ? [limit.y] : [])]);
  const xAt = (value: number): number => left + positionOf(x.scale, xTicks, value) * plot.width;
  const yAt = (value: number): number => top + (1 - positionOf(y.scale, yTicks, value)) * plot.height;
  const [right, bottom] = [left + plot.width, top + plot.height];
  const middle = left + plot.width / 2;
  return [
    text(middle, top - 12, title, { anchor: 'middle', bold: true }),
    ...xTicks.flatMap((tick) => [
      `<line x1="${round(xAt(tick))}" y1="${top}" x2="${round(xAt(tick))}" y2="${bottom}" stroke="${faint}"/>`,
      text(xAt(tick), bottom + 17, format(x, tick), { anchor: 'middle' }),
    ]),
    ...yTicks.flatMap((tick) => [
      `<line x1="${left}" y1="${round(yAt(tick))}" x2="${right}" y2="${round(yAt(tick))}" stroke="${faint}"/>`,
      text(left - 7, yAt(tick) + 4, format(y, tick), { anchor: 'end' }),
    ]),
    `<path d="M${left} ${top}V${bottom}H${right}" fill="none" stroke="${ink}"/>`,
    text(middle, bottom + 38, x.label, { anchor: 'middle' }),
    `<text transform="translate(${left - 46} ${top + plot.height / 2}) rotate(-90)" text-anchor="middle">${escapeXml(y.label)}</text>`,
    ...(limit === undefined ? [] : renderLine(limit, [[left, yAt(limit.y)], [right, yAt(limit.y)]])),
    ...(points.length === 0 ? [text(middle, top + plot.height / 2, 'no data', { anchor: 'middle' })] : []),
    ...lines.flatMap((line) => renderLine(line, line.points.map(([px, py]) => [xAt(px), yAt(py)] as const))),
  ];
}

/** `points` in pixels. */
function renderLine(style: LineStyle, points: readonly (readonly [number, number])[]): string[] {
  const path = points.map(([px, py], at) => `${at === 0 ? 'M' : 'L'}${round(px)} ${round(py)}`).join('');
  const dash = style.dash === undefined ? '' : ` stroke-dasharray="${style.dash === 'dashed' ? '6 4' : '2 3'}"`;
  const stroke = points.length > 1 ? [`<path d="${path}" fill="none" stroke="${style.colour}" stroke-width="2"${dash}/>`] : [];
  return [...stroke, ...points.flatMap(([px, py]) => renderMarker(style, px, py))];
}

function renderMarker({ marker, colour }: LineStyle, x: number, y: number): string[] {
  if (marker === undefined) return [];
  switch (marker) {
    case 'circle':
      return [`<circle cx="${round(x)}" cy="${round(y)}" r="3.5" fill="${colour}"/>`];
    case 'square':
      return [`<rect x="${round(x - 3)}" y="${round(y - 3)}" width="6" height="6" fill="${colour}"/>`];
    case 'diamond':
      return [`<path d="M${round(x)} ${round(y - 4.5)}l4.5 4.5l-4.5 4.5l-4.5 -4.5z" fill="${colour}"/>`];
  }
}

function renderLegend(entry: LegendEntry, x: number, y: number): string[] {
  return [...renderLine(entry, [[x, y - 4], [x + 28, y - 4]]), text(x + 38, y, entry.label, {})];
}

interface TextStyle {
  readonly anchor?: 'middle' | 'end';
  readonly bold?: boolean;
  readonly size?: number;
}

function text(x: number, y: number, content: string, { anchor, bold, size }: TextStyle): string {
  const attributes = [anchor && ` text-anchor="${anchor}"`, bold && ' font-weight="bold"', size && ` font-size="${size}"`].filter(Boolean).join('');
  return `<text x="${round(x)}" y="${round(y)}"${attributes}>${escapeXml(content)}</text>`;
}

const format = (axis: Axis, tick: number): string => axis.format?.(tick) ?? String(tick);

/** To a tenth of a pixel. */
const round = (value: number): string => String(Math.round(value * 10) / 10);

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** `content` as text or attribute of XML; what XML cannot hold at all is left out. */
export const escapeXml = (content: string): string =>
  [...content]
    .filter((character) => character >= ' ' || character === '\t' || character === '\n')
    .map((character) => entities[character] ?? character)
    .join('');
