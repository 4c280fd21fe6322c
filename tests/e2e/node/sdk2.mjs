// An agent on @modelcontextprotocol/client, of either era: `sdk2.mjs URL legacy|auto|modern`.
import {
  Client,
  StreamableHTTPClientTransport,
  UnauthorizedError,
} from '@modelcontextprotocol/client'
import { converse } from './agent.mjs'
import { Provider } from './provider.mjs'
import { finish } from './talk.mjs'

const url = new URL(process.argv[2])
const mode = process.argv[3] === 'modern' ? { pin: '2026-07-28' } : process.argv[3]
const authProvider = new Provider()

async function connected() {
  const transport = new StreamableHTTPClientTransport(url, { authProvider })
  const client = new Client(
    { name: 'sdk2', version: '1.0' },
    { capabilities: { elicitation: { form: {} } }, versionNegotiation: { mode } },
  )
  client.setRequestHandler('elicitation/create', () => ({
    action: 'accept',
    content: { username: 'alice', name: 'Alice' },
  }))
  try {
    await client.connect(transport)
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error
    await transport.finishAuth(authProvider.landed.searchParams)
    return connected()
  }
  return client
}

const client = await connected()
const version = client.getNegotiatedProtocolVersion()
const found = await converse(client, (params, options) => client.callTool(params, options))
await client.close()
finish({ ...found, version, visits: authProvider.visits })
