"use strict";
// What our pages share: elements that are made without markup, and touched only where they differ.

const $ = (id) => document.getElementById(id);

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

// Of an element that has nothing but text; its text node stays, thousands change each second.
function put(element, text) {
  const node = element.firstChild;
  if (!node) element.textContent = text;
  else if (node.data !== text) node.data = text ?? "";
}

function setClass(element, name) {
  if (element.className !== name) element.className = name;
}
