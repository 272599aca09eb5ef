/**
 * Pictures of reports in a real browser: light and dark, on a desk and on a phone. Ends with 1 where one complains, scrolls
 * sideways or has a chart without marks. Without arguments: of made-up runs.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { chromium, type Browser, type Page } from 'playwright-core';
import { writeReport } from '../src/report/write-report.ts';
import { hostileRunRecord } from '../src/testing/hostile-record.ts';
import { cpuRunRecord, gpuRunRecord } from '../src/testing/run-records.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    to: { type: 'string', default: 'report-screenshots' },
    chromium: { type: 'string', default: '/usr/bin/chromium' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) {
  process.stdout.write(
    'npm run screenshots -- [reports..] [--to <folder>] [--chromium <path>]\n\n' +
      'Pictures of reports, light and dark, on a desk and on a phone; of made-up runs where none is named.\n',
  );
  process.exit(0);
}

const screens = [
  { name: 'desk', width: 1280, height: 900 },
  { name: 'phone', width: 390, height: 844 },
] as const;
const schemes = ['light', 'dark'] as const;
const drawMsMax = 60_000;

/** What a page says about itself; runs there. */
const inspectPage = `({
  overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  empty: [...document.querySelectorAll('.chart')]
    .filter((chart) => chart.closest('[hidden]') === null && chart.querySelectorAll('svg [role="graphics-symbol"]').length === 0)
    .map((chart) => chart.id),
  charts: document.querySelectorAll('.chart svg').length,
})`;

interface Inspection {
  readonly overflow: number;
  readonly empty: readonly string[];
  readonly charts: number;
}

function reports(folder: string): readonly { readonly name: string; readonly path: string }[] {
  if (positionals.length > 0) return positionals.map((path, index) => ({ name: `report-${index + 1}`, path }));
  const made = {
    gpu: [gpuRunRecord()],
    cpu: [cpuRunRecord()],
    both: [cpuRunRecord(), gpuRunRecord()],
    hostile: [hostileRunRecord()],
  };
  return Object.entries(made).map(([name, records]) => {
    const path = join(folder, `${name}.html`);
    writeReport(path, records);
    return { name, path };
  });
}

/** Every thread's flame graph is drawn once; the last one stays. */
async function chooseAll(page: Page): Promise<void> {
  for (const select of await page.locator('select[data-chooses]').all()) {
    const options = await select.locator('option').allTextContents();
    for (const option of [...options.slice(1), options[0]!]) await select.selectOption(option);
  }
}

async function takePicture(
  browser: Browser,
  path: string,
  picture: string,
  screen: (typeof screens)[number],
  colorScheme: (typeof schemes)[number],
) {
  const { width, height } = screen;
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, offline: true });
  const complaints: string[] = [];
  try {
    const page = await context.newPage();
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(`console: ${message.text()}`);
    });
    page.on('dialog', (dialog) => {
      complaints.push(`a script of somebody else ran: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
    await page.goto(pathToFileURL(path).href);
    await page.waitForSelector('html[data-drawn]', { state: 'attached', timeout: drawMsMax });
    await chooseAll(page);
    await page.waitForTimeout(200);
    const { overflow, empty, charts } = (await page.evaluate(inspectPage)) as Inspection;
    if (overflow > 0) complaints.push(`${overflow} pixels wider than the screen`);
    if (charts === 0) complaints.push('no chart at all');
    complaints.push(...empty.map((id) => `chart ${id} drew nothing`));
    writeFileSync(picture, await page.screenshot({ fullPage: true }));
  } catch (error) {
    complaints.push(String(error));
  } finally {
    await context.close();
  }
  return complaints;
}

if (!existsSync(values.chromium)) {
  process.stderr.write(
    `Expected ${values.chromium} to be Chromium, got no such file. Install it (Debian: apt-get install chromium) or give --chromium <path>.\n`,
  );
  process.exit(78);
}
mkdirSync(values.to, { recursive: true });
const browser = await chromium.launch({
  executablePath: values.chromium,
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--no-first-run',
  ],
});
try {
  for (const { name, path } of reports(values.to)) {
    const kilobytes = Math.round(readFileSync(path).length / 1000);
    for (const screen of screens) {
      for (const scheme of schemes) {
        const picture = join(values.to, `${name}-${screen.name}-${scheme}.png`);
        const complaints = await takePicture(browser, path, picture, screen, scheme);
        process.stdout.write(
          `${picture}: ${complaints.length === 0 ? `good (${kilobytes} kB of HTML)` : complaints.join('; ')}\n`,
        );
        if (complaints.length > 0) process.exitCode = 1;
      }
    }
  }
} finally {
  await browser.close();
}
