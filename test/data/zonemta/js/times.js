"use strict";

exports.MINUTE = 60 * 1000;
