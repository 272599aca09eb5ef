/** Entry of a prep thread whose shards become Arrow files: which writer it takes is said before it starts. */
import './arrow-output.ts';
import './prep.ts';
