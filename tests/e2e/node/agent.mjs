// What every agent here tries: on the tickets what it may and may not, elsewhere all there is.

/**
 * Uses a connected client, and returns what came of it.
 * `call(params, options)` calls a tool: the two SDKs differ in where the options go.
 */
export async function converse(client, call) {
  const { tools } = await client.listTools()
  const names = tools.map((tool) => tool.name)
  const found = names.includes('get_issue') ? await issues(call) : await whole(client, call)
  return { tools: names, ...found }
}

async function issues(call) {
  const found = {}
  found.called = await said(call, 'get_issue', { key: 'T-7' })
  try {
    await call({ name: 'delete_issue', arguments: { key: 'T-7' } })
  } catch (error) {
    found.refusal = { code: error.code, message: error.message }
  }
  return found
}

async function whole(client, call) {
  const found = { progress: [] }
  const watch = { onprogress: ({ progress }) => found.progress.push(progress) }
  await call({ name: 'test_tool_with_progress', arguments: {} }, watch)
  found.asked = await said(call, 'test_elicitation', { message: 'Who are you?' })
  found.greeted = await said(call, 'test_input_required_result_elicitation', {})
  found.resource = (await client.readResource({ uri: 'test://static-text' })).contents[0].text
  found.prompts = (await client.listPrompts()).prompts.length
  return found
}

async function said(call, name, args) {
  return (await call({ name, arguments: args })).content[0].text
}
