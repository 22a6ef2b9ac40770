import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';

const names = ['chromium', 'chromium-browser', 'google-chrome', 'chrome'];

/** The Chromium of this machine, or null. */
export function findChromium(): string | null {
  return names.find((name) => spawnSync(name, ['--version']).status === 0) ?? null;
}

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Record<string, unknown>;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

type Waiting = { readonly resolve: (result: never) => void; readonly reject: (error: Error) => void };

/**
 * One page of a headless Chromium, driven by the DevTools protocol over a pipe: messages are JSON that ends with a zero
 * byte. https://chromedevtools.github.io/devtools-protocol/
 */
export class Page {
  /** Addresses of everything the page asked for. */
  readonly requests: string[] = [];
  /** What the page wrote to its console as errors, and exceptions. */
  readonly errors: string[] = [];
  private readonly process: ChildProcess;
  private readonly profile: string;
  private readonly waiting = new Map<number, Waiting>();
  private nextId = 1;
  private session: string | undefined;

  private constructor(process: ChildProcess, profile: string) {
    this.process = process;
    this.profile = profile;
    let text = '';
    const fromBrowser = process.stdio[4] as Readable;
    fromBrowser.setEncoding('utf8').on('data', (chunk: string) => {
      const messages = (text + chunk).split('\0');
      text = messages.pop() as string;
      for (const message of messages) this.receive(JSON.parse(message));
    });
    process.on('exit', () => {
      for (const { reject } of this.waiting.values()) reject(new Error('Chromium ended'));
    });
  }

  static async open(browser: string, options: readonly string[] = []): Promise<Page> {
    const profile = mkdtempSync(join(tmpdir(), 'sparchc-chromium-'));
    const fixed = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--mute-audio'];
    const all = [...fixed, '--remote-debugging-pipe', `--user-data-dir=${profile}`, ...options, 'about:blank'];
    const process = spawn(browser, all, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
    const page = new Page(process, profile);
    type Targets = { targetInfos: { type: string; targetId: string }[] };
    const { targetInfos } = await page.send<Targets>('Target.getTargets');
    const targetId = targetInfos.find(({ type }) => type === 'page')?.targetId;
    const attached = await page.send<{ sessionId: string }>('Target.attachToTarget', { targetId, flatten: true });
    page.session = attached.sessionId;
    for (const domain of ['Page', 'Runtime', 'Network', 'DOM', 'Log']) await page.send(`${domain}.enable`);
    return page;
  }

  send<T>(method: string, params: object = {}): Promise<T> {
    const id = this.nextId++;
    const toBrowser = this.process.stdio[3] as Writable;
    toBrowser.write(`${JSON.stringify({ id, method, params, sessionId: this.session })}\0`);
    return new Promise<T>((resolve, reject) => void this.waiting.set(id, { resolve, reject }));
  }

  async goto(url: string): Promise<void> {
    await this.send('Page.navigate', { url });
    await this.until(`location.href === ${JSON.stringify(url)} && document.readyState === 'complete'`);
  }

  /** The value of an expression, which has to be JSON. */
  async evaluate<T>(expression: string): Promise<T> {
    type Evaluated = { result: { value: T }; exceptionDetails?: { exception: { description: string } } };
    const options = { expression, returnByValue: true, awaitPromise: true, userGesture: true };
    const { result, exceptionDetails } = await this.send<Evaluated>('Runtime.evaluate', options);
    if (exceptionDetails) throw new Error(exceptionDetails.exception.description);
    return result.value;
  }

  /** Waits until an expression is true. */
  async until(expression: string, seconds = 30): Promise<void> {
    const end = performance.now() + 1000 * seconds;
    while (!(await this.evaluate<boolean>(expression))) {
      if (performance.now() > end) throw new Error(`still not true after ${seconds} s: ${expression}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Drops a file onto the page, as a mouse does. */
  async drop(path: string): Promise<void> {
    const data = { items: [], files: [path], dragOperationsMask: 1 };
    for (const type of ['dragEnter', 'dragOver', 'drop']) {
      await this.send('Input.dispatchDragEvent', { type, x: 100, y: 100, data });
    }
  }

  async screenshot(): Promise<Buffer> {
    const options = { format: 'png', captureBeyondViewport: true };
    return Buffer.from((await this.send<{ data: string }>('Page.captureScreenshot', options)).data, 'base64');
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.process.on('exit', resolve));
    this.send('Browser.close').catch(() => {});
    await ended;
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }

  private receive({ id, method, params, result, error }: Message): void {
    if (id !== undefined) {
      const waiting = this.waiting.get(id);
      this.waiting.delete(id);
      if (error) waiting?.reject(new Error(error.message));
      else waiting?.resolve(result as never);
    }
    if (method === 'Network.requestWillBeSent')
      this.requests.push((params as { request: { url: string } }).request.url);
    if (method === 'Runtime.exceptionThrown' || method === 'Log.entryAdded') this.errors.push(JSON.stringify(params));
  }
}
