// The program of the page: puts the console into it.
import './styles/tokens.css';
import './styles/base.css';
import './styles/shell.css';
import './styles/parts.css';
import { render } from 'preact';
import { startSession } from './live/session.ts';
import { App } from './shell/app.tsx';

const target = document.getElementById('app');
if (target) {
  startSession();
  render(<App />, target);
}
