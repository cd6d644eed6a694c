// node --require: exp.host:443 is 127.0.0.1:$GATEWAY_PORT, as with a hosts entry and the gateway on port 443. TLS still
// asks for exp.host's certificate.
const tls = require("node:tls");

const connect = tls.connect;
tls.connect = (options, ...rest) => {
  const isExpo = options.host === "exp.host" && Number(options.port) === 443;
  const here = { ...options, servername: "exp.host", host: "127.0.0.1", port: Number(process.env.GATEWAY_PORT) };
  return connect(isExpo ? here : options, ...rest);
};
