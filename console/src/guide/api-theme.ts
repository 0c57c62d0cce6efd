// Gives the page of the API, which Swagger UI draws, the name and the colours of the guide.
import { element, startTheme, themeButton } from './theme.ts';

/** This file is served as /docs/static/theme/api-theme.js, whatever stands before. */
const docs = new URL('../../', (document.currentScript as HTMLScriptElement).src).href;

startTheme((theme) => document.documentElement.classList.toggle('dark-mode', theme === 'dark'));

const brand = element('a', { href: `${docs}guide/`, className: 'brand' });
brand.append(
  element('img', { src: `${docs}static/theme/logo.svg`, alt: '', width: 28, height: 28 }),
  'Weirkeeper ',
  element('span', { text: 'API' }),
);
const links = element('nav');
links.setAttribute('aria-label', 'Elsewhere on this server');
links.append(
  element('a', { href: `${docs}guide/`, text: 'Guide' }),
  element('a', { href: `${docs}errors`, text: 'Error codes' }),
  element('a', { href: `${docs}../`, text: 'Console' }),
  themeButton(),
);
const head = element('header', { className: 'guide-head' });
head.append(brand, links);
document.body.prepend(head);
