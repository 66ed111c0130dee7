import { loadDrawing } from './drawing.ts';
import { frontSection } from './frontSection.ts';
import { glossarySection } from './glossarySection.ts';
import { headSection } from './headSection.ts';
import { html, raw } from './html.ts';
import { influenceSection } from './influenceSection.ts';
import { lengthSection } from './lengthSection.ts';
import { reportStyle } from './reportStyle.ts';
import type { SearchReport } from './searchReport.ts';
import { spanSection } from './spanSection.ts';

/** A page may load nothing, and run nothing: what it shows is in it. */
const policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/** One HTML file that needs no other. The same report gives the same bytes. */
export async function renderReport(report: SearchReport): Promise<string> {
  const drawing = await loadDrawing();
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${report.model.name ?? 'Search'}: attention spans</title>
<style>${raw(reportStyle)}</style>
</head>
<body>
<main>
${headSection(report)}
${spanSection(report)}
${lengthSection(report, drawing)}
${frontSection(report, drawing)}
${influenceSection(report)}
${glossarySection(report.version)}
</main>
</body>
</html>
`;
  return page.html;
}
