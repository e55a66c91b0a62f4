;; A module of the RusToK platform that publishes JSON of 400,000 nested lists.
;;@frame module
;;@memory
(memory (export "memory") 32)
;;@core
(data (i32.const 1024) "platform.events")
(data (i32.const 1039) "publish")
(data (i32.const 131072) "{\"topic\":\"a\",\"payload\":")
;;@run
(memory.fill (i32.const 131095) (i32.const 0x5b) (i32.const 400000))
(memory.fill (i32.const 531095) (i32.const 0x5d) (i32.const 400000))
(i32.store8 (i32.const 931095) (i32.const 0x7d))
(call $invoke
  (i32.const 1024) (i32.const 15) (i32.const 1039) (i32.const 7) (i32.const 131072) (i32.const 800024) (i32.const 3072))
