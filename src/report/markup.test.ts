import assert from 'node:assert/strict';
import { test } from 'node:test';
import { escapeHtml, markup, scriptJson } from './markup.ts';

const hostile = '<img src=x onerror=alert(1)>';

test('what goes into a template is text, unless it is markup', () => {
  const inner = markup`<b>${hostile}</b>`;
  assert.equal(
    markup`<p title="${'"\'&'}">${inner}${undefined}${[inner]}${7}</p>`.text,
    `<p title="&quot;&#39;&amp;">${inner.text}${inner.text}7</p>`,
  );
  assert.equal(inner.text, '<b>&lt;img src=x onerror=alert(1)&gt;</b>');
});

test('characters that nobody sees are shown', () => {
  assert.equal(escapeHtml('a\u0000\u001b[2J\u2028\u202eb'), 'a\\x00\\x1b[2J\\u2028\\u202eb');
});

test('JSON in a script element cannot end it, and is the same when it is read', () => {
  const value = { name: `</script><!--${hostile}\u2028\u2029` };
  const { text } = scriptJson(JSON.stringify(value));
  assert.doesNotMatch(text, /[<\u2028\u2029]/);
  assert.deepEqual(JSON.parse(text), value);
});
