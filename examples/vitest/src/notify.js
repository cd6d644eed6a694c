// The code under test, as a server would have it. It knows nothing of gateways.

import { Expo } from 'expo-server-sdk';

const expo = new Expo({ retryMinTimeout: 10 });

export async function orderShipped(order) {
  const [ticket] = await expo.sendPushNotificationsAsync([
    { to: order.pushToken, title: 'Your order is on its way', data: { orderId: order.id } },
  ]);
  return ticket;
}

/** Push tokens of phones that have removed the app. */
export async function goneSince(tokensByTicket) {
  const receipts = await expo.getPushNotificationReceiptsAsync(Object.keys(tokensByTicket));
  return Object.entries(receipts)
    .filter(([, receipt]) => receipt.details?.error === 'DeviceNotRegistered')
    .map(([ticketId]) => tokensByTicket[ticketId]);
}
