// What every agent here tries: on the tickets what it may and may not, elsewhere all there is.

/** Uses a connected client, and returns what came of it. */
export async function converse(client) {
  const { tools } = await client.listTools()
  const names = tools.map((tool) => tool.name)
  return { tools: names, ...(await (names.includes('get_issue') ? issues : whole)(client)) }
}

async function issues(client) {
  const found = {}
  found.called = await said(client, 'get_issue', { key: 'T-7' })
  try {
    await client.callTool({ name: 'delete_issue', arguments: { key: 'T-7' } })
  } catch (error) {
    found.refusal = { code: error.code, message: error.message }
  }
  return found
}

async function whole(client) {
  const found = { progress: [] }
  const watch = { onprogress: ({ progress }) => found.progress.push(progress) }
  await call(client, 'test_tool_with_progress', {}, watch)
  found.asked = await said(client, 'test_elicitation', { message: 'Who are you?' })
  found.greeted = await said(client, 'test_input_required_result_elicitation', {})
  found.resource = (await client.readResource({ uri: 'test://static-text' })).contents[0].text
  found.prompts = (await client.listPrompts()).prompts.length
  return found
}

async function said(client, name, args) {
  return (await call(client, name, args)).content[0].text
}

/** The first SDK takes a result schema before the options, the second does not. */
function call(client, name, args, options) {
  const params = { name, arguments: args }
  return client.callTool.length >= 3 || client.callTool.toString().includes('resultSchema')
    ? client.callTool(params, undefined, options)
    : client.callTool(params, options)
}
