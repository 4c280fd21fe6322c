// oauth4webapi, a certified strict client, holds our answers against the RFCs:
// `judge.mjs ISSUER RESOURCE POINT_SECRET`.
import * as oauth from 'oauth4webapi'
import { check, finish, step, visit } from './talk.mjs'

const issuer = new URL(process.argv[2])
const resource = process.argv[3]
const options = { [oauth.allowInsecureRequests]: true }
const registered = 'http://127.0.0.1:7777/cb'
const redirect = 'http://127.0.0.1:5123/cb' // another port of this machine, RFC 8252 section 7.3
const METHODS = ['none', 'client_secret_basic', 'client_secret_post']

const as = await step('discovery', async () =>
  oauth.processDiscoveryResponse(
    issuer,
    await oauth.discoveryRequest(issuer, { ...options, algorithm: 'oauth2' }),
  ),
)
await step('discovery-openid', async () => {
  const answer = await oauth.discoveryRequest(issuer, options)
  check('openid-issuer', (await answer.json()).issuer === issuer.origin)
})
const described = await step('protected-resource', async () =>
  oauth.processResourceDiscoveryResponse(
    new URL(resource),
    await oauth.resourceDiscoveryRequest(new URL(resource), options),
  ),
)
check('resource-names-issuer', described?.authorization_servers?.[0] === issuer.origin)
check('s256', as.code_challenge_methods_supported.join() === 'S256')
check('iss-announced', as.authorization_response_iss_parameter_supported === true)

for (const method of METHODS) await judge(method)
await introspection()
finish({})

async function introspection() {
  const point = { client_id: 'judge' }
  const proof = oauth.ClientSecretBasic(process.argv[4])
  const said = await step('introspection', async () =>
    oauth.processIntrospectionResponse(
      as,
      point,
      await oauth.introspectionRequest(as, point, proof, 'sc_at_nobody', options),
    ),
  )
  check('introspection-says-nothing', said.active === false && Object.keys(said).length === 1)
}

async function judge(method) {
  const named = (name) => `${method}-${name}`
  const { client, proof } = await registration(method, named)
  const given = await signIn(client, named)
  const tokens = await step(named('code'), async () =>
    oauth.processAuthorizationCodeResponse(as, client, await redeem(client, proof, given)),
  )
  check(named('bearer'), tokens.token_type === 'bearer')
  check(named('scope'), tokens.scope === 'mcp', tokens.scope)
  const second = await step(named('refresh'), async () =>
    oauth.processRefreshTokenResponse(as, client, await refresh(client, proof, tokens)),
  )
  check(named('rotated'), second.refresh_token !== tokens.refresh_token)
  check(named('works'), (await call(second.access_token)) === 200)
  const again = await redeem(client, proof, given)
  check(named('code-replay'), again.status === 400, again.status)
  check(named('replay-ends-all'), (await call(second.access_token)) === 401)
  const late = await refresh(client, proof, second)
  check(named('ended-refresh'), (await late.json()).error === 'invalid_grant')
  await revocation(client, proof, named)
}

async function registration(method, named) {
  const wanted = {
    client_name: `Judge ${method}`,
    redirect_uris: [registered],
    token_endpoint_auth_method: method,
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
  }
  const client = await step(named('registration'), async () =>
    oauth.processDynamicClientRegistrationResponse(
      await oauth.dynamicClientRegistrationRequest(as, wanted, options),
    ),
  )
  const proofs = {
    none: oauth.None,
    client_secret_basic: oauth.ClientSecretBasic,
    client_secret_post: oauth.ClientSecretPost,
  }
  return { client, proof: proofs[method](client.client_secret) }
}

async function signIn(client, named) {
  const verifier = oauth.generateRandomCodeVerifier()
  const state = oauth.generateRandomState()
  const link = new URL(as.authorization_endpoint)
  link.search = new URLSearchParams({
    client_id: client.client_id,
    redirect_uri: redirect,
    response_type: 'code',
    scope: 'mcp',
    state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    resource,
  })
  const landed = await visit(link.href)
  const params = await step(named('state-and-iss'), async () =>
    oauth.validateAuthResponse(as, client, landed, state),
  )
  return { params, verifier }
}

function redeem(client, proof, { params, verifier }) {
  const about = { ...options, additionalParameters: { resource } }
  return oauth.authorizationCodeGrantRequest(as, client, proof, params, redirect, verifier, about)
}

function refresh(client, proof, tokens) {
  return oauth.refreshTokenGrantRequest(as, client, proof, tokens.refresh_token, options)
}

async function revocation(client, proof, named) {
  const given = await signIn(client, (name) => named(`second-${name}`))
  const tokens = await step(named('second-code'), async () =>
    oauth.processAuthorizationCodeResponse(as, client, await redeem(client, proof, given)),
  )
  await step(named('revocation'), async () =>
    oauth.processRevocationResponse(
      await oauth.revocationRequest(as, client, proof, tokens.refresh_token, options),
    ),
  )
  check(named('revoked'), (await call(tokens.access_token)) === 401)
}

async function call(token) {
  const body = { jsonrpc: '2.0', id: 1, method: 'initialize' }
  const clientInfo = { name: 'judge', version: '1.0' }
  body.params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo }
  const answer = await fetch(resource, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
    },
    body: JSON.stringify(body),
  })
  await answer.body?.cancel()
  return answer.status
}
