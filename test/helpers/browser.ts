// The console in a headless Chromium: one browser for each file of tests, and a page that is read and used as a person does.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import puppeteer, { type Browser, type Page } from 'puppeteer-core';
import type { Test } from 'tap';
import { eventually } from './server.ts';

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Starts a browser that ends with the test. scripts/with-chromium.mjs says where it is. */
export async function startBrowser(t: Test): Promise<Browser> {
  const browser = await puppeteer.launch({
    executablePath: process.env.CHROMIUM_PATH ?? '/usr/bin/chromium',
    // Chromium has no sandbox for root.
    args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
    protocolTimeout: 120_000,
  });
  t.teardown(() => browser.close());
  return browser;
}

export interface ConsolePage {
  page: Page;
  /** Shows a page of the console: `#/tree/app`. */
  go(hash: string): Promise<void>;
  /** Waits until the visible text has something. */
  sees(text: string | RegExp): Promise<void>;
  /** Waits until the visible text has it no more. */
  seesNo(text: string | RegExp): Promise<void>;
  /** Clicks what has a role and a name, as soon as it is there. */
  click(role: string, name: string): Promise<void>;
  /** Types into the field with a label, in place of what it has. @param role `spinbutton` for numbers */
  fill(label: string, text: string, role?: 'textbox' | 'spinbutton' | 'searchbox'): Promise<void>;
  /** The texts of the buttons of the page, without those of its frame. */
  buttons(): Promise<string[]>;
  /** Presses keys, one after the other: `g`, `Enter`. */
  press(...keys: string[]): Promise<void>;
  text(): Promise<string>;
}

/** Opens the console, or another page, in a new tab; errors of its scripts and refusals of its policy fail the test. */
export async function openConsole(
  t: Test,
  browser: Browser,
  url: string,
  { path = '/console/', hash = '#/', width = 1280, theme = 'light', isCalm = false, token = '' } = {},
): Promise<ConsolePage> {
  const page = await browser.newPage();
  t.teardown(() => page.close());
  const faults: string[] = [];
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => {
    // What the server refuses is shown by the page itself; the browser logs it as well.
    const isRefusal = /^Failed to load resource|^WebSocket connection to/.test(message.text());
    if (message.type() === 'error' && !isRefusal) faults.push(message.text());
  });
  page.on('request', (request) => {
    // Of the schemes that need no network: about, blob, data.
    if (/^(https?|wss?):/.test(request.url()) && !request.url().startsWith(`${url}/`))
      faults.push(`it asks another server: ${request.url()}`);
  });
  t.teardown(() => {
    if (faults.length > 0) throw new Error(`The page has errors: ${faults.join('; ')}`);
  });
  await page.setViewport({ width, height: 900 });
  await page.emulateMediaFeatures([
    { name: 'prefers-color-scheme', value: theme },
    { name: 'prefers-reduced-motion', value: isCalm ? 'reduce' : 'no-preference' },
  ]);
  if (token !== '') {
    await page.evaluateOnNewDocument(`sessionStorage.setItem('weir-console-token', '${token}')`);
  }
  await page.goto(`${url}${path}${path === '/console/' ? hash : ''}`);
  const text = () => page.evaluate('document.body.innerText') as Promise<string>;
  const has = (shown: string, wanted: string | RegExp) =>
    typeof wanted === 'string' ? shown.includes(wanted) : wanted.test(shown);
  // A dialog lies above the rest, so it has what one can use.
  const find = (role: string, name: string) =>
    eventually(async () => {
      const scope = (await page.$('dialog[open]')) === null ? '' : 'dialog[open] ';
      return page.$(`${scope}::-p-aria([name="${name}"][role="${role}"])`);
    }, `there is a ${role} ${name}`);
  return {
    page,
    text,
    go: async (to) => void (await page.evaluate(`location.hash = ${JSON.stringify(to)}; undefined`)),
    sees: async (wanted) => void (await eventually(async () => has(await text(), wanted), `the page shows ${wanted}`)),
    seesNo: async (unwanted) =>
      void (await eventually(async () => !has(await text(), unwanted), `the page shows no ${unwanted}`)),
    click: async (role, name) => {
      const found = await find(role, name);
      await found.evaluate((element) => element.scrollIntoView({ block: 'center' }));
      await found.click();
    },
    buttons: () => page.$$eval('main button', (all) => all.map((button) => button.textContent.trim())),
    fill: async (label, value, role = 'textbox') => {
      const found = await find(role, label);
      await found.focus();
      await page.keyboard.down('Control');
      await page.keyboard.press('a');
      await page.keyboard.up('Control');
      await page.keyboard.press('Backspace');
      await found.type(value);
    },
    press: async (...keys) => {
      for (const key of keys) await page.keyboard.press(key as 'Enter');
    },
  };
}

/** What axe-core finds wrong on the page as it is, each with the elements. */
export async function findingsOf(page: Page): Promise<string[]> {
  await page.evaluate(axeSource);
  return page.evaluate(`(async () => {
    const { violations } = await axe.run(document, {
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    });
    return violations.map(({ id, nodes }) =>
      id + ': ' + nodes.map(({ target, failureSummary }) => target + ' ' + failureSummary).join(' | '));
  })()`) as Promise<string[]>;
}

/** Checks a page as it is shown now: by axe-core in both themes, and that it is no wider than a narrow screen. */
export async function checkPage(t: Test, { page }: ConsolePage, what: string): Promise<void> {
  for (const theme of ['light', 'dark']) {
    await page.emulateMediaFeatures([
      { name: 'prefers-color-scheme', value: theme },
      { name: 'prefers-reduced-motion', value: 'reduce' },
    ]);
    await eventually(
      () => page.evaluate(`document.documentElement.dataset.theme === '${theme}'`),
      `the theme is ${theme}`,
    );
    // A colour that is changing is none of either theme.
    await eventually(
      () => page.evaluate('document.getAnimations().every((each) => !(each instanceof CSSTransition))'),
      'all colours are there',
    );
    t.same(await findingsOf(page), [], `${what}: axe-core finds nothing in the ${theme} theme`);
  }
  t.ok(
    await page.evaluate('document.documentElement.scrollWidth <= innerWidth'),
    `${what}: nothing is wider than the screen`,
  );
  await page.setViewport({ width: 360, height: 780 });
  await eventually(
    () => page.evaluate('document.documentElement.scrollWidth <= 360'),
    `${what}: nothing is wider than a screen of 360 px`,
  );
  t.same(await findingsOf(page), [], `${what}: axe-core finds nothing on a narrow screen`);
  await page.setViewport({ width: 1280, height: 900 });
}
