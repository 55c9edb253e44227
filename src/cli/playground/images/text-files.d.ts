// Scripts that go into images are real files; the bundler and the test runner import them as text.
declare module '*.sh' {
  const text: string;
  export default text;
}
