import { expect } from 'vitest';
import { test } from './gateway.js';

// Loaded inside each test, so that the SDK in it sends to the test's own run.
const load = () => import('../src/notify.js');

test('is told when the order ships', async ({ gateway }) => {
  const { orderShipped } = await load();
  const phone = await gateway.device({ platform: 'ios' });

  await orderShipped({ id: 7, pushToken: phone.push_token });

  const [delivery] = await gateway.waitFor({ to: phone.push_token, state: 'delivered' });
  expect(delivery.title).toBe('Your order is on its way');
  expect(await gateway.sent({ 'data.orderId': 7 })).toHaveLength(1);
});

test('is told although Expo is busy at first', async ({ gateway }) => {
  const { orderShipped } = await load();
  await gateway.fail({ type: 'expo', status: 429 }, { times: 1 });
  const phone = await gateway.device();

  const ticket = await orderShipped({ id: 8, pushToken: phone.push_token });

  expect(ticket.status).toBe('ok');
});

test('is forgotten once the app is gone from the phone', async ({ gateway }) => {
  const { orderShipped, goneSince } = await load();
  const pushToken = 'ExponentPushToken[magic-uninstalled-0001]';
  const ticket = await orderShipped({ id: 9, pushToken });

  await gateway.settled();

  expect(await goneSince({ [ticket.id]: pushToken })).toEqual([pushToken]);
});

test('sees nothing of what other tests sent', async ({ gateway }) => {
  expect(await gateway.sent()).toEqual([]);
});

test('a message that never came shows what came instead', async ({ gateway }) => {
  const { orderShipped } = await load();
  await orderShipped({ id: 10, pushToken: 'ExponentPushToken[0000000000000000000000]' });

  await expect(gateway.waitFor({ title: 'Your order is here' }, { timeoutS: 0.2 })).rejects.toThrow(
    'title is "Your order is on its way", wanted "Your order is here"',
  );
});
