import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    globalSetup: ['./test/start-gateway.js'],
    // The SDK reads EXPO_BASE_URL when it is loaded. Inlined, it is loaded anew for each test: see test/gateway.js.
    server: { deps: { inline: ['expo-server-sdk'] } },
  },
});
