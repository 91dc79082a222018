// Opens a page in headless Chromium and keeps it open, so that the page's own library sends its events.
//
// Usage: node browser.js CHROMIUM PROFILE_FOLDER
// Reads  {"open": "http://…"}          prints {"title": "…"} once the library in the page is ready
//        {"run": "analytics.track(…)"} prints {"ran": true}
//        {"seen": true}                prints {"requests": […], "console": […], "failures": […]}
// It ends, closing the browser, when its input ends.
"use strict";
const readline = require("node:readline");
const { chromium } = require("playwright-core");

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

const seen = { requests: [], console: [], failures: [] };

function watch(page) {
  page.on("console", (message) => seen.console.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => seen.failures.push(String(error)));
  page.on("requestfailed", (request) => seen.failures.push(`${request.url()}: ${request.failure().errorText}`));
  page.on("response", async (response) => {
    const request = response.request();
    seen.requests.push({ method: request.method(), url: request.url(), status: response.status(),
      sent: request.headers(), body: request.postData(), received: response.headers() });
  });
}

async function perform(page, asked) {
  if (asked.open) {
    await page.goto(asked.open);
    await page.waitForFunction(() => document.title === "ready", undefined, { timeout: 30000 });
    return { title: await page.title() };
  }
  if (asked.run) {
    await page.evaluate(asked.run);
    return { ran: true };
  }
  return seen;
}

async function main() {
  const [executablePath, profile] = process.argv.slice(2);
  const options = { executablePath, headless: true, args: FLAGS, ignoreHTTPSErrors: true }; // a journey signs itself
  const browser = await chromium.launchPersistentContext(profile, options);
  const page = browser.pages()[0] ?? (await browser.newPage());
  watch(page);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const answer = await perform(page, JSON.parse(line)).catch((error) => ({ failure: String(error), ...seen }));
    process.stdout.write(JSON.stringify(answer) + "\n");
  }
  await browser.close();
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
