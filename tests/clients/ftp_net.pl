# What Net::FTP can do: HOST PORT PASSIVE
use strict;
use warnings;
use Net::FTP;

my ($host, $port, $passive) = @ARGV;
my $ftp = Net::FTP->new($host, Port => $port, Passive => $passive, Timeout => 20) or die "no connection: $@";

sub must {
    my ($what, $done) = @_;
    die "$what: " . $ftp->code . " " . $ftp->message unless $done;
}

open my $file, '>', $ENV{UP} or die $!;
print $file 'x' x 100_000;
close $file;

must login   => $ftp->login('alice', 'wonderland');
must binary  => $ftp->binary;
must put     => $ftp->put($ENV{UP}, 'net.bin');
must append  => $ftp->append($ENV{UP}, 'net.bin');
must size    => $ftp->size('net.bin') == 200_000;
must restart => do { $ftp->restart(199_990); 1 };
must get     => $ftp->get('net.bin', $ENV{DOWN}, 199_990);
must mdtm    => abs($ftp->mdtm('net.bin') - time) < 3600;
must unique  => $ftp->put_unique($ENV{UP}, 'net.bin');
my $unique = $ftp->unique_name;
must 'the unique name' => $unique && $ftp->size($unique) == 100_000;
must mkdir   => $ftp->mkdir('net/a/b', 1);
must cwd     => $ftp->cwd('net/a');
must pwd     => $ftp->pwd eq '/net/a';
must cdup    => $ftp->cdup;
must ls      => join(' ', $ftp->ls('/net*')) eq '/net /net.bin';
must dir     => scalar($ftp->dir('/')) > 3;
must rmdir   => $ftp->cwd('/') && $ftp->rmdir('net', 1);
must rename  => $ftp->rename('net.bin', 'renamed.bin');
must delete  => $ftp->delete('renamed.bin') && $ftp->delete($unique);
must feature => $ftp->feature('MDTM') && $ftp->supported('SITE CHMOD');
must site    => $ftp->site('HELP') == 2;
must ascii   => $ftp->ascii && $ftp->put($ENV{UP}, 'net.txt') && $ftp->delete('net.txt');
must quit    => $ftp->quit;
print "fine\n";
