// Starts one gateway for all tests, unless EXPO_GATEWAY_URL names one that runs already, as it does in CI.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export default async function setup(project) {
  if (process.env.EXPO_GATEWAY_URL) {
    project.provide('gatewayUrl', process.env.EXPO_GATEWAY_URL.replace(/\/$/, ''));
    return undefined;
  }
  const gateway = spawn('expo-gateway', ['serve', '--json', '--port', '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(gateway, 'exit');
  // The first line on stdout says where it listens.
  const lines = createInterface({ input: gateway.stdout });
  const [line] = await Promise.race([once(lines, 'line'), ended.then(refuse)]);
  project.provide('gatewayUrl', JSON.parse(line).url);
  return async () => {
    gateway.kill();
    await ended;
  };
}

function refuse([code]) {
  throw new Error(`expo-gateway ended with ${code}; it said why above`);
}
