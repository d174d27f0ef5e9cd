// The controls that player.html names, in English and in French.
import "media-chrome/media-controller.js";
import "media-chrome/media-control-bar.js";
import "media-chrome/media-captions-button.js";
import "media-chrome/media-fullscreen-button.js";
import "media-chrome/media-loading-indicator.js";
import "media-chrome/media-mute-button.js";
import "media-chrome/media-play-button.js";
import "media-chrome/media-preview-chapter-display.js";
import "media-chrome/media-preview-thumbnail.js";
import "media-chrome/media-preview-time-display.js";
import "media-chrome/media-time-display.js";
import "media-chrome/media-time-range.js";
import "media-chrome/media-volume-range.js";
import "media-chrome/lang/fr.js";
