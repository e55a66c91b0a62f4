;; Imports what makes threads.
;;@frame event
;;@import
(import "wasi:thread/spawn@0.2.0" (instance (export "thread-spawn" (func (param "start" u32) (result s32)))))
