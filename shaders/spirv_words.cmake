# cmake -DBINARY=FILE -DWORDS=FILE -P spirv_words.cmake: a SPIR-V module, little-endian, as the numbers of a C array.
file(READ ${BINARY} digits HEX)
string(REGEX REPLACE "(..)(..)(..)(..)" "0x\\4\\3\\2\\1,\n" words "${digits}")
file(WRITE ${WORDS} "${words}")
