/** Charts by Observable Plot, drawn without a browser. Loaded when a report is rendered, as nothing else needs them. */
import type * as PlotLibrary from '@observablehq/plot';
import { raw, withoutControls, type Html } from './html.ts';

export interface About {
  /** Of the SVG, unique in the file. */
  readonly id: string;
  readonly title: string;
  /** What a reader who does not see the figure should know. */
  readonly description: string;
}

export interface Drawing {
  readonly plot: typeof PlotLibrary;
  readonly chart: (about: About, options: PlotLibrary.PlotOptions) => Html;
}

/** What we use of a DOM. */
interface Element {
  readonly outerHTML: string;
  textContent: string | null;
  setAttribute(name: string, value: string): void;
  querySelector(selector: string): Element | null;
  prepend(...elements: Element[]): void;
  remove(): void;
}
interface Document {
  createElementNS(namespace: string, name: string): Element;
}

const svgNamespace = 'http://www.w3.org/2000/svg';

export async function loadDrawing(): Promise<Drawing> {
  const [plot, { parseHTML }] = await Promise.all([import('@observablehq/plot'), import('linkedom')]);
  const { document } = parseHTML('<!doctype html><html><body></body></html>') as { readonly document: Document };
  const chart = (about: About, options: PlotLibrary.PlotOptions): Html => {
    // NOTE: a fixed class name. Plot would number the charts of a process otherwise, and bytes would differ between renderings.
    const svg = plot.plot({ ...options, document, className: 'plot' } as PlotLibrary.PlotOptions) as unknown as Element;
    svg.querySelector('style')?.remove(); // reportStyle.ts says it once for all charts
    const describe = (name: 'title' | 'desc', text: string): Element => {
      const element = document.createElementNS(svgNamespace, name);
      element.textContent = text;
      element.setAttribute('id', `${about.id}-${name}`);
      return element;
    };
    svg.prepend(describe('title', about.title), describe('desc', about.description));
    svg.setAttribute('role', 'img');
    svg.setAttribute('aria-labelledby', `${about.id}-title ${about.id}-desc`);
    return raw(withoutControls(svg.outerHTML));
  };
  return { plot, chart };
}
