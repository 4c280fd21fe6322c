// openid-client, as an application would use it: `openid.mjs ISSUER RESOURCE`.
import * as client from 'openid-client'
import { check, finish, step, visit } from './talk.mjs'

const issuer = new URL(process.argv[2])
const resource = process.argv[3]
const redirect_uri = 'http://localhost:7788/cb'
const how = { algorithm: 'oauth2', execute: [client.allowInsecureRequests] }
const metadata = {
  client_name: 'Application',
  redirect_uris: [redirect_uri],
  token_endpoint_auth_method: 'client_secret_post', // what this library does unless told
}

const config = await step('registration', () =>
  client.dynamicClientRegistration(issuer, metadata, undefined, how),
)
const verifier = client.randomPKCECodeVerifier()
const state = client.randomState()
const link = client.buildAuthorizationUrl(config, {
  redirect_uri,
  scope: 'mcp',
  state,
  code_challenge: await client.calculatePKCECodeChallenge(verifier),
  code_challenge_method: 'S256',
  resource,
})
const landed = await visit(link.href)
const expected = { pkceCodeVerifier: verifier, expectedState: state }
const tokens = await step('code', () => client.authorizationCodeGrant(config, landed, expected))
const fresh = await step('refresh', () => client.refreshTokenGrant(config, tokens.refresh_token))
check('rotated', fresh.refresh_token !== tokens.refresh_token)
await step('revocation', () => client.tokenRevocation(config, fresh.refresh_token))
finish({})
