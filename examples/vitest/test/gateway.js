// `test` with a run of its own for each test: devices, deliveries, faults and clock that no other test sees.

import { randomUUID } from 'node:crypto';
import { test as base, inject, vi } from 'vitest';

export const test = base.extend({
  gateway: async ({ task }, use) => {
    const label = task.name.replace(/[^A-Za-z0-9]+/g, '-').slice(0, 40);
    const run = new Run(inject('gatewayUrl'), `${label}-${randomUUID().slice(0, 8)}`);
    vi.stubEnv('EXPO_BASE_URL', run.url);
    vi.resetModules();
    await use(run);
    vi.unstubAllEnvs();
    await run.close();
  },
});

class Run {
  constructor(server, name) {
    this.url = `${server}/r/${name}`;
    this.itself = `${server}/_gateway/v1/runs/${name}`;
  }

  /** Deliveries that match, as soon as there are `count`; else an error that shows who came closest. */
  async waitFor(filter, { count = 1, timeoutS = 5 } = {}) {
    const query = new URLSearchParams({ ...filter, count, timeout_s: timeoutS });
    return (await this.ask('GET', `/deliveries/wait?${query}`)).deliveries;
  }

  async sent(filter = {}) {
    return (await this.ask('GET', `/deliveries?${new URLSearchParams(filter)}`)).deliveries;
  }

  /** From now on the requests that match have this happen to them. */
  fail(act, match = {}) {
    return this.ask('POST', '/faults', { match, act });
  }

  /** A new phone, and its push token. */
  device(device = {}) {
    return this.ask('POST', '/devices', device);
  }

  /** Everything that was sent has its receipt. */
  settled() {
    return this.ask('GET', '/idle/wait');
  }

  async ask(method, path, body) {
    const answer = await fetch(`${this.url}/_gateway/v1${path}`, {
      method,
      headers: body ? { 'content-type': 'application/json' } : {},
      body: body && JSON.stringify(body),
    });
    const value = await answer.json();
    if (!answer.ok) {
      const nearest = (value.nearest ?? []).flatMap(({ misses }) => misses.map(({ why }) => why));
      throw new Error([value.error.message, ...nearest].join('; '));
    }
    return value;
  }

  async close() {
    await fetch(this.itself, { method: 'DELETE' });
  }
}
