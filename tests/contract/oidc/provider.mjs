// A login service on loopback: people log in with any password; tokens live as long as argv says.
import { generateKeyPairSync } from "node:crypto";
import Provider from "oidc-provider";

const [port, seconds] = process.argv.slice(2).map(Number);
const keys = ["EC", "RSA"].map((kty) => {
  const made =
    kty === "EC"
      ? generateKeyPairSync("ec", { namedCurve: "P-256" })
      : generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { ...made.privateKey.export({ format: "jwk" }), use: "sig" };
});
const groups = { ann: ["Radiology"], bea: ["Board", "Radiology"], eve: [] };
const back = "https://app.example/cb";
const client = (client_id, alg, redirect = back) => ({
  client_id,
  redirect_uris: [redirect],
  grant_types: ["authorization_code"],
  token_endpoint_auth_method: "none",
  id_token_signed_response_alg: alg,
});
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [client("appliance", "ES256"), client("older", "RS256"), client("page", "ES256", process.argv[4])],
  jwks: { keys },
  claims: { openid: ["sub", "name", "groups"] },
  conformIdTokenClaims: false,
  pkce: { required: () => false },
  ttl: { IdToken: seconds, AccessToken: seconds, Session: 60, Grant: 60, Interaction: 60 },
  findAccount: (_ctx, sub) => ({
    accountId: sub,
    claims: () => ({ sub, name: `Name of ${sub}`, groups: groups[sub] ?? [] }),
  }),
});
provider.listen(port, "127.0.0.1", () => console.log("ready"));
