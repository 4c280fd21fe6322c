// An agent on @modelcontextprotocol/sdk, the older era only: `sdk1.mjs URL`.
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import { converse } from './agent.mjs'
import { Provider } from './provider.mjs'
import { finish } from './talk.mjs'

const url = new URL(process.argv[2])
const authProvider = new Provider()

async function connected() {
  const transport = new StreamableHTTPClientTransport(url, { authProvider })
  const client = new Client({ name: 'sdk1', version: '1.0' }, { capabilities: { elicitation: {} } })
  client.setRequestHandler(ElicitRequestSchema, () => ({
    action: 'accept',
    content: { username: 'alice', name: 'Alice' },
  }))
  await client.connect(transport)
  return { client, version: transport.protocolVersion }
}

async function signedIn() {
  try {
    return await connected()
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error
    const transport = new StreamableHTTPClientTransport(url, { authProvider })
    await transport.finishAuth(authProvider.landed.searchParams.get('code'))
    return await connected()
  }
}

const { client, version } = await signedIn()
const found = await converse(client, (params, options) => client.callTool(params, undefined, options))
await client.close()
finish({ ...found, version, visits: authProvider.visits })
