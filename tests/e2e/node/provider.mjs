// What the TypeScript SDKs want to know about an agent: its registration, tokens and browser.
import { visit } from './talk.mjs'

export class Provider {
  constructor(metadata) {
    this.clientMetadata = {
      client_name: 'TypeScript agent',
      redirect_uris: [this.redirectUrl],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
      ...metadata,
    }
    this.visits = 0
  }

  get redirectUrl() {
    return 'http://localhost:3118/callback'
  }

  state() {
    this.expected = crypto.randomUUID()
    return this.expected
  }

  clientInformation() {
    return this.client
  }

  saveClientInformation(client) {
    this.client = client
  }

  tokens() {
    return this.held
  }

  saveTokens(tokens) {
    this.held = tokens
  }

  codeVerifier() {
    return this.verifier
  }

  saveCodeVerifier(verifier) {
    this.verifier = verifier
  }

  discoveryState() {
    return this.discovered
  }

  saveDiscoveryState(state) {
    this.discovered = state
  }

  async redirectToAuthorization(url) {
    this.visits += 1
    this.landed = await visit(url.href)
    if (this.landed.searchParams.get('state') !== this.expected) throw new Error('another state')
  }
}
