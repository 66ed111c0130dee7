/** Numbers as the report prints them. Spaces before units do not break. */

const space = '\u00a0';
const minus = '\u2212';
/** Where there is no number. */
export const none = '\u2013';

const grouped = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** `4,096`. */
export const formatCount = (count: number): string => grouped.format(count);

/** `1 layer`, `24 layers`. */
export const formatCountOf = (count: number, noun: string): string => `${formatCount(count)}${space}${noun}${count === 1 ? '' : 's'}`;

/** `4,096 tokens`. */
export const formatTokens = (tokens: number): string => formatCountOf(tokens, 'token');

/** For ticks: `512`, `1k`, `1.5k`, `128k`, `1M`; what is no such multiple of 1024 in full. */
export function formatLength(tokens: number): string {
  const scaled = (unit: number, letter: string): string | undefined => {
    const value = tokens / unit;
    return value >= 1 && Number.isInteger(value * 2) ? `${value}${letter}` : undefined;
  };
  return scaled(2 ** 20, 'M') ?? scaled(2 ** 10, 'k') ?? formatCount(tokens);
}

/** `4.2 %`; below 1 % two digits that count: `0.031 %`. */
export function formatPercent(fraction: number): string {
  if (!Number.isFinite(fraction)) return none;
  const percent = fraction * 100;
  const size = Math.abs(percent);
  if (size === 0) return `0${space}%`;
  if (size < 0.0001) return `<${space}0.0001${space}%`;
  return `${size < 0.995 ? percent.toFixed(1 - Math.floor(Math.log10(size))) : percent.toFixed(1)}${space}%`;
}

/** The format of a column of losses: enough decimals for four digits of the largest, in all rows the same. */
export function lossFormat(losses: readonly number[]): (loss: number) => string {
  const largest = Math.max(0, ...losses.filter(Number.isFinite).map(Math.abs));
  const decimals = largest === 0 ? 3 : Math.max(3, 3 - Math.floor(Math.log10(largest)));
  return (loss) => {
    if (!Number.isFinite(loss)) return none;
    if (loss === 0) return '0';
    return (decimals > 7 ? loss.toExponential(3) : loss.toFixed(decimals)).replace('-', minus);
  };
}

/** `+0.0089`, with the sign of the difference. */
export const formatDifference = (difference: number, format: (value: number) => string): string => (difference > 0 ? '+' : '') + format(difference);

/** Of two fractions, in percentage points: `−0.8 pp`. */
export const formatPoints = (difference: number): string => formatDifference(difference * 100, (points) => `${points.toFixed(1).replace('-', minus)}${space}pp`);

/** `0.42 s`, `12.3 s`, `4 min 05 s`, `1 h 02 min`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 59.95) return `${seconds.toFixed(seconds < 9.995 ? 2 : 1)}${space}s`;
  const whole = Math.round(seconds);
  const two = (value: number): string => String(value).padStart(2, '0');
  if (whole < 3600) return `${Math.floor(whole / 60)}${space}min${space}${two(whole % 60)}${space}s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)}${space}h${space}${two(minutes % 60)}${space}min`;
}

/** `10⁻³`. */
export const formatPowerOfTen = (exponent: number): string => `10${[...String(exponent)].map((digit) => superscripts[digit] ?? digit).join('')}`;

const superscripts: Readonly<Record<string, string>> = { '-': '⁻', 0: '⁰', 1: '¹', 2: '²', 3: '³', 4: '⁴', 5: '⁵', 6: '⁶', 7: '⁷', 8: '⁸', 9: '⁹' };
