// node --import: fetch goes where HTTPS_PROXY says. From Node 24 on NODE_USE_ENV_PROXY=1 does the same.
import { EnvHttpProxyAgent, setGlobalDispatcher } from "undici";

setGlobalDispatcher(new EnvHttpProxyAgent());
